/** Trains in a second thread. */
import type { TrainRequest, TrainSummary, TrainingReport } from '../api/index.js';
import type { Thread } from './thread.js';
import { startThread } from './thread.js';

export interface TrainNews {
  readonly report: TrainingReport;
  readonly updates: number;
  readonly backend: string;
}

/** Stopped, it writes a checkpoint and ends after the present update. */
export function trainInWorker(
  request: TrainRequest,
  onUpdate: (report: TrainingReport, updates: number, backend: string) => void,
): Thread<TrainSummary> {
  return startThread<TrainRequest, TrainNews, TrainSummary>(
    './trainWorker.js',
    request,
    ({ report, updates, backend }) => onUpdate(report, updates, backend),
  );
}
