/** A cost model: a library whose forward pass takes twice as long as the tables say. */
export default ({ registerCostModel }) => {
  registerCostModel('slow-forward', (costs) => ({ forwardSec: costs.forwardSec.map((sec) => 2 * sec) }));
};
