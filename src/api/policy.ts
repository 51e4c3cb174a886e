/** The policy that methods start from where no other is named: the one that ships, or `--policy`. */
export { policyInUse, usePolicy } from '../agent/pretrained.js';
