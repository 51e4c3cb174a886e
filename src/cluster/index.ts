/** Devices and topology as data. */
export * from './types.js';
export type { Calibration, Overlay } from './overlay.js';
export { clusterOfDocument, loadCluster, listPresets } from './cluster.js';
export type { PresetDescription } from './cluster.js';
export { loadDevice, listDevices, scaleDevice } from './device.js';
export { fitLevels, usedDomainSize } from './levels.js';
export { oversubscribed } from './oversubscribe.js';
export { torusSlice } from './torus.js';
export { nearNames } from '../util/near.js';
export { presetText } from './spec.js';
export { atPowerCap, clockAt, leastCapWatt } from './powerCap.js';
