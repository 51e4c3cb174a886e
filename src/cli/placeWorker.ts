/** The placing thread: told to stop, it is out of time and ends with the best so far. */
import type { PlaceRequest, PlaceResult } from '../api/index.js';
import { placeWorkload } from '../api/index.js';
import { work } from './thread.js';

await work<PlaceRequest, number, PlaceResult>(async (request, tell, stopped) => {
  const started = performance.now();
  const result = await placeWorkload(request, {
    clock: () => (stopped() ? Infinity : performance.now() / 1000),
    onImprovement: tell,
  });
  return { ...result, wallSec: (performance.now() - started) / 1000 };
});
