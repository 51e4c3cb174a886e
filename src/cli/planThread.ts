/** Plans in a second thread. */
import type { PlanReply, PlanRequest } from '../api/index.js';
import { startThread } from './thread.js';

/** The best plan so far, in words. */
export interface Best {
  readonly stepTimeSec: number;
  readonly text: string;
}

export interface PlanNews {
  readonly text: string;
  readonly best: Best | null;
}

/** @throws PartitionError as `planModel` */
export function planInWorker(
  request: PlanRequest,
  onProgress: (status: string, best: Best | null) => void,
): Promise<PlanReply> {
  const onNews = ({ text, best }: PlanNews): void => onProgress(text, best);
  return startThread<PlanRequest, PlanNews, PlanReply>('./planWorker.js', request, onNews).ended;
}
