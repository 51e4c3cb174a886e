/** Options of Node with which a thread of tests and benches runs TypeScript as it stands. */
const loader = import.meta.resolve('tsx/esm/api');

export const TYPESCRIPT: readonly string[] = [
  '--import',
  `data:text/javascript,import { register } from ${JSON.stringify(loader)}; register();`,
];
