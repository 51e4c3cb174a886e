/** A cluster: H100 hosts on half the usual network, any number of them. What is not stated is the preset's. */
export default ({ registerCluster }) => {
  const port = (name) => ({ name, GBps: { value: 25, source: 'one 200 Gb/s port for each device' } });
  registerCluster('lab-h100', {
    description: 'H100 hosts with 200 Gb/s ports',
    groups: [{ preset: 'h100-sxm', hosts: 'any', network: [port('rail'), port('spine')] }],
  });
};
