.PHONY: help build test lint bench validate coverage clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

node_modules: package-lock.json
	npm ci --no-fund --no-audit
	@touch node_modules

build: node_modules ## compile to dist/
	npm run --silent build

test: node_modules ## run the tests
	npm test --silent

lint: node_modules ## lint, formatting, types
	npm run --silent lint
	npm run --silent typecheck

bench: node_modules ## benchmarks: parse, inference, estimate, engine
	npm run --silent bench

validate: node_modules ## shape oracles, hostile files, parameter counts and the judge of plans
	npx mocha test/graph test/model test/zoo test/plan

coverage: node_modules ## tests with line coverage
	npm run --silent coverage

clean: ## remove what was built
	rm -rf dist coverage .cache
