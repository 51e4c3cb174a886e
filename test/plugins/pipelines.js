/** An expert: four pipeline stages without other parallelism but data's, so that tests have a pipeline. */
export default ({ registerExpert, PlanSpace, Cutter }) => {
  registerExpert('all-pipeline', function* (problem) {
    const space = new PlanSpace(problem);
    const cutter = new Cutter(problem);
    for (const mesh of space.meshes.filter((m) => m.pp === 4 && m.tp === 1))
      for (const decisions of space.decisions(mesh, 1))
        yield { ...decisions, stageStart: cutter.balanced(decisions) };
  });
};
