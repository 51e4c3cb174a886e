/** A search method: walks the space of plans from its far end, as far as the budget goes. */
export default ({ registerSolver, Evaluator, PlanSpace, Cutter }) => {
  registerSolver({
    name: 'backwards',
    solve(context) {
      const evaluator = new Evaluator(context, 'backwards');
      const space = new PlanSpace(context.problem);
      const cutter = new Cutter(context.problem);
      for (const mesh of [...space.meshes].reverse())
        for (const microbatch of space.microbatches(mesh))
          for (const decisions of space.decisions(mesh, microbatch)) {
            if (evaluator.exhausted()) return evaluator.result(false);
            evaluator.evaluate({ ...decisions, stageStart: cutter.balanced(decisions) });
          }
      return evaluator.result(false);
    },
  });
};
