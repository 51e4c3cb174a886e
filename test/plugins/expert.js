/** An expert: tensor parallelism over everything, whatever the guides say; widest first. */
export default ({ registerExpert, PlanSpace, Cutter }) => {
  registerExpert('all-tensor', function* (problem) {
    const space = new PlanSpace(problem);
    const cutter = new Cutter(problem);
    const meshes = space.meshes.filter((m) => m.pp === 1 && m.cp === 1).sort((a, b) => b.tp - a.tp);
    for (const mesh of meshes.slice(0, 1))
      for (const microbatch of space.microbatches(mesh))
        for (const decisions of space.decisions(mesh, microbatch))
          yield { ...decisions, stageStart: cutter.balanced(decisions) };
  });
};
