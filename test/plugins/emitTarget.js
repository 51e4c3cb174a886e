/** An emit target: the degrees as a file that a shell reads. */
export default ({ registerEmitTarget }) => {
  registerEmitTarget({
    name: 'degrees-env',
    toolVersion: 'any POSIX shell',
    about: 'the degrees as shell variables',
    needs: [],
    emit({ plan }) {
      const { dp, tp, pp, cp, ep } = plan.degrees;
      const content = `DP=${dp}\nTP=${tp}\nPP=${pp}\nCP=${cp}\nEP=${ep}\n`;
      return {
        files: [{ name: 'degrees.env', content }],
        notExpressed: [{ asked: `schedule ${plan.schedule}`, instead: 'up to the script', blocks: false }],
      };
    },
  });
};
