/** Trains in a second thread. */
import type {
  EpisodeFacts,
  FineTuneFacts,
  FineTuneRequest,
  TrainRequest,
  TrainSummary,
  TrainingReport,
} from '../api/index.js';
import type { Thread } from './thread.js';
import { startThread } from './thread.js';

export type TrainNews =
  | {
      readonly kind: 'update';
      readonly report: TrainingReport;
      readonly updates: number;
      readonly backend: string;
    }
  | { readonly kind: 'text'; readonly text: string };

/** Stopped, it writes a checkpoint and ends after the present update or episode. */
export function trainInWorker(
  request: TrainRequest,
  onNews: (news: TrainNews) => void,
): Thread<TrainSummary | EpisodeFacts> {
  return startThread<TrainRequest, TrainNews, TrainSummary | EpisodeFacts>(
    './trainWorker.js',
    request,
    onNews,
  );
}

/** Stopped, it writes a checkpoint and the new policy as far as it got, and judges nothing. */
export function fineTuneInWorker(
  request: FineTuneRequest,
  onNews: (news: TrainNews) => void,
): Thread<FineTuneFacts> {
  return startThread<FineTuneRequest, TrainNews, FineTuneFacts>('./trainWorker.js', request, onNews);
}
