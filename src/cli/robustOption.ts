/** The option of commands that can minimise a quantile of the step time. */
export const ROBUST_TEXT =
  'minimise the step time that this share of draws may exceed, of devices of unlike speed and a cost model that is off (default: the nominal step): 10%,draws=64,speed=1.5%,calibration=7%; or by term compute, memory, host, domain, network';
