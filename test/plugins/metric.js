/** A metric: tokens per joule, told in `metrics` of every plan's summary. */
export default ({ registerMetric }) => {
  registerMetric(
    'tokensPerJoule',
    ({ prediction, globalBatch, sequenceLength }) =>
      (globalBatch * sequenceLength) / prediction.energyJoulesPerStep,
  );
};
