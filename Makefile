.PHONY: help build test lint bench bench-plans validate calibrate train examples coverage clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

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

bench-plans: node_modules ## every method on every instance of the suite (about 25 minutes); writes partitions/suite.*
	node --import tsx bench/plans.ts

validate: build ## predictions against published measured runs, power against measured power
	bin/partition validate
	node --import tsx bench/energy.ts

calibrate: node_modules ## fit the shipped stack profiles to the shipped measured runs (3 minutes)
	node --import tsx bench/calibrate.ts

train: build ## train the policy that ships again, from src/data/training/plan-ppo.yaml (about 10 minutes)
	@out=$$(mktemp -d); \
	bin/partition train --out $$out/run && cp $$out/run/policy.json src/data/checkpoints/plan-ppo.json \
	&& cp $$out/run/metrics.jsonl partitions/training-curve.jsonl && node --import tsx bench/training-curve.ts; \
	status=$$?; rm -rf $$out; exit $$status

examples: build ## example plans in partitions/
	@out=$$(mktemp -d); \
	make_plan() { bin/partition graphs/$$1.onnx --devices $$2 $$4 --budget 2000ev --quiet --out $$out > /dev/null && cp $$out/plan.json partitions/$$3.json; }; \
	make_plan gpt2-small 8 gpt2-small.8 "--seq 1024" && \
	make_plan bert-large 64 bert-large.64 "--seq 512 --cluster a100-80gb" && \
	make_plan t5-base 16 t5-base.tpu.16 "--seq 512 --cluster tpu-v5p"; \
	status=$$?; rm -rf $$out; exit $$status

coverage: node_modules ## tests with line coverage
	npm run --silent coverage

clean: ## remove what was built
	rm -rf dist coverage .cache
