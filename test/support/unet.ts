/** A U-Net: convolutions down to a quarter of the image and up again, every level handing its features across. */
import { DType } from '../../src/model/dtype.js';
import type { ModelProto } from '../../src/model/types.js';
import { GraphBuilder, attrInt, attrInts } from '../../src/zoo/builder.js';

/**
 * @param channels of the first level; every level below has twice as many
 * @param size of the square image, divisible by 2 to the number of levels less 1
 */
export function buildUnet(channels: number, size: number, levels = 4): ModelProto {
  const b = new GraphBuilder('unet', DType.FLOAT);
  const conv = (x: string, from: number, to: number, name: string): string => {
    const weight = b.weight(`${name}.weight`, [to, from, 3, 3]);
    const made = b.op(
      'Conv',
      [x, weight],
      [attrInts('kernel_shape', [3, 3]), attrInts('pads', [1, 1, 1, 1])],
    );
    return b.op('Relu', [made]);
  };
  let x = b.input('image', DType.FLOAT, ['batch', 3, size, size]);
  let width = 3;
  const skips: { x: string; width: number }[] = [];
  for (let level = 0; level < levels; level++) {
    const to = channels * 2 ** level;
    // Levels differ in depth, so that none is the repetition of another.
    for (let i = 0; i <= 1 + (level % 2); i++) {
      x = conv(x, width, to, `down.${level}.${i}`);
      width = to;
    }
    if (level === levels - 1) break;
    skips.push({ x, width });
    x = b.op('MaxPool', [x], [attrInts('kernel_shape', [2, 2]), attrInts('strides', [2, 2])]);
  }
  for (let level = levels - 2; level >= 0; level--) {
    const skip = skips[level];
    const weight = b.weight(`up.${level}.weight`, [width, skip.width, 2, 2]);
    x = b.op('ConvTranspose', [x, weight], [attrInts('kernel_shape', [2, 2]), attrInts('strides', [2, 2])]);
    x = b.op('Concat', [skip.x, x], [attrInt('axis', 1)]);
    x = conv(x, 2 * skip.width, skip.width, `join.${level}`);
    width = skip.width;
  }
  const head = b.weight('head.weight', [32, width, 1, 1]);
  b.op('Conv', [x, head], [attrInts('kernel_shape', [1, 1])], 'classes');
  b.output('classes', DType.FLOAT, ['batch', 32, size, size]);
  return b.build();
}
