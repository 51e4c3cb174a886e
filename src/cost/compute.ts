/**
 * Time of kernels on one device: the larger of arithmetic and memory traffic (roofline, Williams et al. 2009), with
 * the arithmetic slowed by the shape: output tiles that do not fill, last waves that leave cores idle (tile and wave
 * quantisation), and short contractions that never leave the kernel's prologue. Pure and allocation free.
 */
import type { Device, Precision } from '../cluster/types.js';

/** Bytes of one stored element. */
export const PRECISION_BYTES: Readonly<Record<Precision, number>> = {
  fp32: 4,
  tf32: 4,
  bf16: 2,
  fp16: 2,
  fp8: 1,
  fp4: 0.5,
  int8: 1,
};

/** Splits of a contraction (or of attention's keys) that the libraries try when the output alone does not fill the device. */
const MAX_SPLITS = 16;
/** Rows of queries that one core of a fused attention kernel works on. */
const QUERY_TILE = 128;
/** Head dimension at which softmax costs as much as half of the products at 128: exponentials do not shrink with it. */
const SOFTMAX_DIMENSION = 32;

/**
 * Share of the rate left to rows of this many bytes: memory moves in lines of 128, and loads of less than 16 bytes keep the
 * matrix units waiting. NVIDIA's deep-learning performance guide names both limits; the shares are fitted to runs at a
 * hidden size of 14,400 (20 % slower than 14,336, BLOOM chronicles).
 */
function alignmentShare(rowBytes: number): number {
  if (rowBytes % 128 === 0) return 1;
  if (rowBytes % 64 === 0) return 0.9;
  if (rowBytes % 32 === 0) return 0.82;
  if (rowBytes % 16 === 0) return 0.75;
  if (rowBytes % 8 === 0) return 0.6;
  return rowBytes % 4 === 0 ? 0.45 : 0.25;
}

/** FLOP of a batch of matrix products, a multiply-add counted as two. */
export function gemmFlop(batch: number, m: number, n: number, k: number): number {
  return 2 * batch * m * n * k;
}

/**
 * Seconds of `batch` products of an m x k by a k x n matrix. Weights shared over a batch belong in `m` (m = batch *
 * rows, batch = 1). A zero dimension is no kernel and costs nothing.
 */
export function gemmTimeSec(
  device: Device,
  precision: Precision,
  batch: number,
  m: number,
  n: number,
  k: number,
): number {
  if (batch <= 0 || m <= 0 || n <= 0 || k <= 0) return 0;
  const runs = device.runsAs[precision];
  const inBytes = PRECISION_BYTES[runs];
  const outBytes = inBytes > 2 ? 4 : 2;
  const bytesPerSec = device.memoryBytesPerSec * device.memoryEfficiency;
  const memorySec = (batch * ((m * k + k * n) * inBytes + m * n * outBytes)) / bytesPerSec;
  const alignment = Math.min(alignmentShare(k * inBytes), alignmentShare(n * inBytes));
  const corePeak = (device.achievableFlopPerSec[precision] * alignment) / device.cores;
  // A split writes and reads an fp32 partial sum of the output.
  const partialSec = (batch * m * n * 8) / bytesPerSec;
  let arithmeticSec = Infinity;
  const tiles = device.matrixTiles;
  for (let t = 0; t < tiles.length; t++) {
    const tile = tiles[t];
    const tall = batch * Math.ceil(m / tile.rows) * Math.ceil(n / tile.columns);
    const wide = batch * Math.ceil(m / tile.columns) * Math.ceil(n / tile.rows);
    const count = Math.min(tall, wide);
    const perColumnSec = (2 * tile.rows * tile.columns) / (corePeak * tile.efficiency);
    for (let splits = 1; splits <= MAX_SPLITS; splits *= 2) {
      const waves = Math.ceil((count * splits) / device.cores);
      const length = Math.ceil(k / splits) + device.contractionHalfLength;
      const sec = waves * length * perColumnSec + (splits > 1 ? splits * partialSec : 0);
      if (sec < arithmeticSec) arithmeticSec = sec;
    }
  }
  return Math.max(arithmeticSec, memorySec) + device.launchOverheadSec;
}

/** FLOP of attention's two products forward (backward: 2.5 times), counted causal when `causal`. */
export function attentionFlop(
  batch: number,
  heads: number,
  queries: number,
  keys: number,
  headDim: number,
  causal: boolean,
): number {
  return 4 * batch * heads * queries * keys * headDim * (causal ? causalShare(queries, keys) : 1);
}

/**
 * Share of the score matrix below the diagonal: queries are the last of the keys' positions, or all positions when there are
 * fewer keys than queries, as on one rank of those that share out the keys in turn.
 */
function causalShare(queries: number, keys: number): number {
  return queries <= keys ? 1 - (queries - 1) / (2 * keys) : (queries + 1) / (2 * queries);
}

/**
 * Seconds of one fused attention kernel (FlashAttention, Dao 2023): scores never leave the core, so that memory
 * traffic is Q, K, V and the output. Backward recomputes the scores: five products instead of two. Attention runs in
 * 16-bit floats where the matmuls run in 8 or fewer.
 */
export function attentionTimeSec(
  device: Device,
  precision: Precision,
  batch: number,
  heads: number,
  kvHeads: number,
  queries: number,
  keys: number,
  headDim: number,
  causal: boolean,
  backward = false,
): number {
  if (batch <= 0 || heads <= 0 || queries <= 0 || keys <= 0 || headDim <= 0) return 0;
  const asked = precision === 'fp8' || precision === 'fp4' || precision === 'int8' ? 'bf16' : precision;
  const curve = device.attention;
  const fraction = backward ? curve.backwardFraction : curve.forwardFraction;
  const halfLength = backward ? curve.backwardHalfLength : curve.forwardHalfLength;
  const peak = Math.min(device.peakFlopPerSec[asked] * fraction, device.achievableFlopPerSec[asked]);
  // Each score costs its products and a fixed softmax; fractions were measured at a head dimension of 128.
  const paddedDim = Math.ceil(headDim / 16) * 16;
  const effectiveDim = (paddedDim + SOFTMAX_DIMENSION) / (1 + SOFTMAX_DIMENSION / 128);
  // The diagonal tiles are computed whole.
  const share = causal ? Math.min(1, causalShare(queries, keys) + QUERY_TILE / (2 * keys)) : 1;
  const flopPerKey = (backward ? 10 : 4) * Math.min(queries, QUERY_TILE) * effectiveDim;
  const rows = batch * heads * Math.ceil(queries / QUERY_TILE);
  // Keys of one row may be split over cores (flash decoding); each part pays the start of a row again.
  let visited = Infinity;
  for (let splits = 1; splits <= MAX_SPLITS; splits *= 2)
    visited = Math.min(
      visited,
      Math.ceil((rows * splits) / device.cores) * ((keys * share) / splits + halfLength),
    );
  const arithmeticSec = (visited * flopPerKey * device.cores) / peak;
  const bytes = 2 * batch * headDim * (2 * heads * queries + 2 * kvHeads * keys) * (backward ? 2.5 : 1);
  const memorySec = bytes / (device.memoryBytesPerSec * device.memoryEfficiency);
  return Math.max(arithmeticSec, memorySec) + device.launchOverheadSec;
}

/**
 * Seconds of attention in separate kernels, as before FlashAttention: products in batches, scores written to memory,
 * masked and softmaxed in one kernel, dropped out in another. Masked scores are worked out like any other.
 */
export function unfusedAttentionTimeSec(
  device: Device,
  precision: Precision,
  batch: number,
  heads: number,
  queries: number,
  keys: number,
  headDim: number,
  backward = false,
): number {
  if (batch <= 0 || heads <= 0 || queries <= 0 || keys <= 0 || headDim <= 0) return 0;
  const asked = precision === 'fp8' || precision === 'fp4' || precision === 'int8' ? 'bf16' : precision;
  const products = batch * heads;
  const scores = products * queries * keys;
  const scoreProduct = gemmTimeSec(device, asked, products, queries, keys, headDim);
  const valueProduct = gemmTimeSec(device, asked, products, queries, headDim, keys);
  const bytes = PRECISION_BYTES[device.runsAs[asked]];
  // Softmax reads and writes the scores (backward: reads two, writes one); dropout moves them once more with a byte of mask.
  const softmaxSec = memoryBoundTimeSec(device, (backward ? 3 : 2) * bytes * scores);
  const dropoutSec = memoryBoundTimeSec(device, (2 * bytes + 1) * scores);
  return (backward ? 2 : 1) * (scoreProduct + valueProduct) + softmaxSec + dropoutSec;
}

/**
 * Seconds of one kernel that reads and writes `bytes` in all. The launch is the achievable-bandwidth curve: a kernel
 * of 1 MB reaches a tenth of what a long one does on an H100, one of 100 MB nine tenths.
 */
export function memoryBoundTimeSec(device: Device, bytes: number): number {
  if (bytes <= 0) return 0;
  return bytes / (device.memoryBytesPerSec * device.memoryEfficiency) + device.launchOverheadSec;
}

/** Seconds of one elementwise or reduction kernel: memory, or the vector units when the work per byte is high. */
export function elementwiseTimeSec(device: Device, bytes: number, flop: number): number {
  if (bytes <= 0 && flop <= 0) return 0;
  const memorySec = bytes / (device.memoryBytesPerSec * device.memoryEfficiency);
  return Math.max(memorySec, flop / device.vectorFlopPerSec) + device.launchOverheadSec;
}
