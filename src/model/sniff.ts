/**
 * What a file that is not an ONNX model is instead, from its first bytes: people point tools at saved web pages,
 * Git-LFS pointers and checkpoints, and "malformed protobuf" helps none of them.
 */

/** Bytes of the head that `sniff` likes to see. */
export const SNIFF_BYTES = 512;

/** What the bytes are, and what to do about it. */
export interface Sniffed {
  readonly what: string;
  readonly hint: string;
}

const EXPORT = 'export the model to ONNX first, for instance with torch.onnx.export';
const DECOMPRESS = 'unpack it first';
const WRONG_FILE = 'check the path';

/** Signatures at offset 0 in Latin-1. */
const SIGNATURES: readonly (readonly [signature: string, what: string, hint: string])[] = [
  ['version https://git-lfs', 'a Git-LFS pointer, not the file itself', 'fetch the file: git lfs pull'],
  ['\x89PNG\r\n', 'a PNG image', WRONG_FILE],
  ['\xff\xd8\xff', 'a JPEG image', WRONG_FILE],
  ['GIF8', 'a GIF image', WRONG_FILE],
  ['%PDF', 'a PDF document', WRONG_FILE],
  ['\x1f\x8b', 'gzip data', DECOMPRESS],
  ['\x28\xb5\x2f\xfd', 'zstd data', DECOMPRESS],
  ['BZh', 'bzip2 data', DECOMPRESS],
  ['\xfd7zXZ\0', 'xz data', DECOMPRESS],
  ['7z\xbc\xaf', 'a 7z archive', DECOMPRESS],
  ['\x89HDF\r\n\x1a\n', 'an HDF5 file (Keras?)', EXPORT],
  ['\x93NUMPY', 'a NumPy array', EXPORT],
  ['GGUF', 'a GGUF checkpoint', EXPORT],
  ['\x7fELF', 'an ELF binary', WRONG_FILE],
  ['\x80\x02', 'a Python pickle (a PyTorch checkpoint?)', EXPORT],
  ['\x80\x03', 'a Python pickle (a PyTorch checkpoint?)', EXPORT],
  ['\x80\x04', 'a Python pickle (a PyTorch checkpoint?)', EXPORT],
  ['\x80\x05', 'a Python pickle (a PyTorch checkpoint?)', EXPORT],
];

/** What the file looks like if it is surely something else than protobuf; null when it may be a model. */
export function sniff(head: Uint8Array, sizeBytes: number): Sniffed | null {
  if (sizeBytes === 0) return { what: 'an empty file', hint: 'export or copy the model again' };
  const latin = Buffer.from(head.buffer, head.byteOffset, head.length).toString('latin1');
  for (const [signature, what, hint] of SIGNATURES) if (latin.startsWith(signature)) return { what, hint };
  if (latin.startsWith('PK\x03\x04') || latin.startsWith('PK\x05\x06')) {
    const isTorch = /data\.pkl|\/version|constants\.pkl/.test(latin);
    if (isTorch) return { what: 'a PyTorch checkpoint (zip)', hint: EXPORT };
    return { what: 'a zip archive (a PyTorch .pt file is one)', hint: EXPORT };
  }
  const tag = latin.slice(4, 8);
  if (tag === 'ORTM')
    return { what: 'an ONNX Runtime model (ORT flatbuffer)', hint: 'use the .onnx file it was made from' };
  if (tag === 'TFL3')
    return { what: 'a TensorFlow Lite model', hint: 'convert it to ONNX first, for instance with tf2onnx' };
  if (latin.slice(257, 262) === 'ustar') return { what: 'a tar archive', hint: DECOMPRESS };
  if (isSafetensors(head, sizeBytes)) return { what: 'a safetensors checkpoint', hint: EXPORT };
  return sniffText(latin);
}

/** Eight bytes of little-endian header length, then JSON. */
function isSafetensors(head: Uint8Array, sizeBytes: number): boolean {
  if (head.length < 9 || head[8] !== 0x7b) return false;
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  const headerBytes = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  return (
    view.getUint32(4, true) === 0 &&
    (headerBytes + 8 <= sizeBytes || /^[{"}\s]/.test(String.fromCharCode(head[9] ?? 0x20)))
  );
}

function sniffText(latin: string): Sniffed | null {
  const text = latin.replace(/^\xef\xbb\xbf/, '').trimStart();
  if (/^<(!doctype html|html|head|body)/i.test(text)) {
    return { what: 'a web page (HTML)', hint: 'the download was probably a login or error page' };
  }
  if (/^<(\?xml|svg|!--)/i.test(text)) return { what: 'XML', hint: WRONG_FILE };
  if (/^(\{\s*["}]|\[\s*[[{"\d\]])/.test(text)) return { what: 'JSON text', hint: WRONG_FILE };
  if (/^\{\s*$/.test(text)) return { what: 'JSON text', hint: WRONG_FILE };
  // No protobuf of a model is free of control characters: lengths and tags are among them.
  const isText =
    latin.length >= 16 && /^[\t\n\r\x20-\x7e\x80-\xff]*$/.test(latin) && /^[\t\n\r\x20-\x7e]{16}/.test(latin);
  return isText ? { what: 'text', hint: WRONG_FILE } : null;
}

/** Whether every line feed is preceded by a carriage return: the mark of a transfer in text mode. */
export function looksCrlfMangled(head: Uint8Array): boolean {
  let feeds = 0;
  for (let i = 0; i < head.length; i++) {
    if (head[i] !== 0x0a) continue;
    if (i === 0 || head[i - 1] !== 0x0d) return false;
    feeds++;
  }
  return feeds > 0;
}
