/** Presets with a calibration's numbers laid over theirs. */
import { presetFolder } from './document.js';

/** Fields of one preset as written: numbers, `{value, source}`, maps of these, lists. */
export type Overlay = Readonly<Record<string, unknown>>;

export interface Calibration {
  readonly name: string;
  readonly method: string;
  /** As the user named it: for messages. */
  readonly file: string;
  /** SHA-256 of what it changes; its name and method left out. */
  readonly digest: string;
  /** By preset name. */
  readonly devices: ReadonlyMap<string, Overlay>;
  /** By cluster preset, then by level. */
  readonly networks: ReadonlyMap<string, ReadonlyMap<string, Overlay>>;
  readonly stacks: ReadonlyMap<string, Overlay>;
}

/** A device preset's document under a calibration. */
export function calibratedDevice(preset: string, calibration: Calibration | undefined): unknown {
  const document = presetFolder('devices').document(preset);
  const overlay = calibration?.devices.get(preset);
  return overlay === undefined ? document : mergeOverlay(document, overlay);
}

/** A cluster preset's document under a calibration. */
export function calibratedCluster(preset: string, calibration: Calibration | undefined): unknown {
  const document = presetFolder('clusters').document(preset);
  const overlay = calibration?.networks.get(preset);
  if (overlay === undefined) return document;
  const { groups, ...rest } = document as { groups: { network?: Record<string, unknown>[] }[] };
  return {
    ...rest,
    groups: groups.map((group) => ({
      ...group,
      ...(group.network === undefined
        ? {}
        : {
            network: group.network.map((level) => {
              const changed = overlay.get(level['name'] as string);
              return changed === undefined ? level : mergeOverlay(level, changed);
            }),
          }),
    })),
  };
}

/** Maps are merged field by field; numbers (with or without their source) and lists take the place of the old. */
export function mergeOverlay(base: unknown, overlay: Overlay): Record<string, unknown> {
  const merged = new Map(Object.entries(base as Record<string, unknown>));
  for (const [field, value] of Object.entries(overlay)) {
    const old = merged.get(field);
    const nested =
      isMap(old) && isMap(value) && !('value' in old) && !('value' in value) && !('ranks' in value);
    merged.set(field, nested ? mergeOverlay(old, value) : value);
  }
  return Object.fromEntries(merged);
}

export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
