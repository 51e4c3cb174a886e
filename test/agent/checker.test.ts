import { expect } from 'chai';
import { Bandit } from '../../src/agent/bandit.js';
import { checkEnvironment } from '../../src/agent/checker.js';
import type { Environment, Observation, Step } from '../../src/agent/environment.js';

/** A bandit whose observations or steps are spoiled on purpose. */
function spoiled(
  observe: (o: Observation) => Observation,
  step: (s: Step) => Step = (s) => s,
): () => Environment {
  return () => {
    const inner = new Bandit(4, 3);
    return {
      spec: inner.spec,
      reset: (seed) => observe(inner.reset(seed)),
      step: (action) => {
        const s = inner.step(action);
        return step({ ...s, observation: observe(s.observation) });
      },
    };
  };
}

describe('agent/checker', () => {
  it('finds a feature that is not a number', () => {
    const faults = checkEnvironment(spoiled((o) => ({ ...o, context: Float32Array.of(NaN) })));
    expect(faults.join('\n')).to.contain('a feature is NaN');
  });

  it('finds a step without a legal option', () => {
    const faults = checkEnvironment(spoiled((o) => ({ ...o, mask: new Uint8Array(o.optionCount) })));
    expect(faults).to.include('every option is masked');
  });

  it('finds option features of the wrong length', () => {
    const faults = checkEnvironment(spoiled((o) => ({ ...o, options: o.options.subarray(1) })));
    expect(faults.join('\n')).to.contain('options has 7 numbers, expected 4 x 2 features');
  });

  it('finds episodes that never end', () => {
    const faults = checkEnvironment(
      spoiled(
        (o) => o,
        (s) => ({ ...s, terminated: false }),
      ),
    );
    expect(faults.join('\n')).to.match(/past maxSteps|after the end/);
  });

  it('finds rewards that the seed does not determine', () => {
    let calls = 0;
    const faults = checkEnvironment(
      spoiled(
        (o) => o,
        (s) => ({ ...s, reward: calls++ }),
      ),
    );
    expect(faults).to.include('the same seed and actions gave another reward');
  });

  it('finds environments that accept actions which are not offered', () => {
    const faults = checkEnvironment(() => {
      const inner = new Bandit(4, 3);
      let legal = 0;
      const note = (o: Observation): Observation => {
        legal = o.mask.indexOf(1);
        return o;
      };
      return {
        spec: inner.spec,
        reset: (seed) => note(inner.reset(seed)),
        step: () => {
          const s = inner.step(legal);
          note(s.observation);
          return s;
        },
      };
    });
    expect(faults).to.include('a negative action was accepted');
  });
});
