/** The cluster: which stage stands on which hosts, and which links carry what. */
import type { TrafficAxis } from '../../simulate/linkTraffic.js';
import { TRAFFIC_AXES } from '../../simulate/linkTraffic.js';
import { formatBytes, formatPercent, formatSeconds, formatSi } from '../../util/format.js';
import { barRows, legend } from './bars.js';
import { stageColour } from './colours.js';
import type { ClusterFacts, HostGroup, ReportFacts, StepFacts } from './facts.js';
import type { Markup, Section } from './markup.js';
import { figure, html, table } from './markup.js';

const AXES: Readonly<Record<TrafficAxis, { readonly label: string; readonly colour: string }>> = {
  tensor: { label: 'tensor parallel', colour: 'var(--t1)' },
  context: { label: 'context parallel', colour: 'var(--t2)' },
  expert: { label: 'expert parallel', colour: 'var(--t3)' },
  data: { label: 'data parallel', colour: 'var(--t4)' },
  pipeline: { label: 'between stages', colour: 'var(--t5)' },
};

export function clusterSection({ plan, cluster, step }: ReportFacts): Section {
  const ranks = plan.degrees.pp;
  const hosts = cluster.groups.reduce((sum, g) => sum + hostsOf(g), 0);
  return {
    id: 'cluster',
    title: 'The cluster',
    body: html`
      <p>
        ${plan.cluster.devices} devices on ${hosts} ${hosts === 1 ? 'host' : 'hosts'} of ${cluster.name}:
        ${cluster.description}
      </p>
      ${cluster.groups.map((group) => groupMap(group, cluster, ranks))}
      ${
        ranks === 1
          ? null
          : legend(shownStages(ranks).map((r) => ({ label: `stage ${r}`, colour: stageColour(r, ranks) })))
      }
      ${stageTable(cluster, ranks)} ${step === null ? null : trafficParts(cluster, step)}
    `,
  };
}

/** Stages that a legend names: all, or of many some that lie evenly apart, and the last. */
function shownStages(ranks: number): number[] {
  const apart = Math.ceil(ranks / MOST_NAMED);
  return Array.from({ length: ranks }, (_, r) => r).filter((r) => r % apart === 0 || r === ranks - 1);
}

function hostsOf({ deviceCount, devicesPerHost }: HostGroup): number {
  return Math.ceil(deviceCount / devicesPerHost);
}

/** Stages in a legend. */
const MOST_NAMED = 16;
/** Height of a host's mark, and the widest one, in units of the drawing. */
const HOST = { height: 16, device: 9, gap: 4 };
const MAP_WIDTH = 1120;
/** More hosts than this are drawn smaller, fewer larger. */
const ROOMY_HOSTS = 200;

/** Every host a box, every device in it a slice in the colour of its stage; one path a stage keeps it small. */
function groupMap(group: HostGroup, { stageOfDevice }: ClusterFacts, ranks: number): Markup {
  const { firstRank, deviceCount, devicesPerHost } = group;
  const hosts = hostsOf(group);
  const scale = Math.min(3, Math.max(0.3, Math.sqrt(ROOMY_HOSTS / hosts)));
  const slice = Math.max(1, Math.min(HOST.device, 144 / devicesPerHost) * scale);
  const wide = slice * devicesPerHost;
  const gap = Math.max(1.5, HOST.gap * scale);
  const high = Math.max(6, HOST.height * scale);
  const across = Math.max(1, Math.floor((MAP_WIDTH + gap) / (wide + gap)));
  const paths: string[] = Array.from({ length: ranks }, () => '');
  for (let h = 0; h < hosts; h++) {
    const left = (h % across) * (wide + gap);
    const top = Math.floor(h / across) * (high + gap);
    const from = firstRank + h * devicesPerHost;
    const to = Math.min(from + devicesPerHost, firstRank + deviceCount);
    for (let d = from; d < to;) {
      let end = d + 1;
      while (end < to && stageOfDevice[end] === stageOfDevice[d]) end++;
      const x = left + (d - from) * slice;
      paths[stageOfDevice[d]] +=
        `M${round(x)} ${round(top)}h${round((end - d) * slice)}v${round(high)}h-${round((end - d) * slice)}z`;
      d = end;
    }
  }
  const width = Math.min(hosts, across) * (wide + gap) - gap;
  const height = Math.ceil(hosts / across) * (high + gap) - gap;
  const drawn = paths.map((path, r) =>
    path === ''
      ? null
      : html`<path d="${path}" fill="${stageColour(r, ranks)}"><title>stage ${r}</title></path>`,
  );
  const picture = html`<svg
    class="hosts"
    viewBox="0 0 ${round(width)} ${round(height)}"
    style="width:min(100%,${round(width)}px)"
  >
    ${drawn}
  </svg>`;
  return figure(
    `${hosts} hosts of ${devicesPerHost} devices coloured by stage; the table below tells the same`,
    picture,
    `${hosts} ${hosts === 1 ? 'host' : 'hosts'} of ${devicesPerHost} x ${group.device}, ${formatBytes(group.memoryBytes)} each${group.name === group.device ? '' : ` (${group.name})`}; a box is a host`,
  );
}

/** Runs of device numbers, up to a few. */
const SHOWN_RUNS = 3;

function stageTable({ stageOfDevice, groups }: ClusterFacts, ranks: number): Markup | null {
  if (ranks === 1) return null;
  const rows = Array.from({ length: ranks }, (_, r) => {
    const devices = stageOfDevice.reduce((count, s) => count + (s === r ? 1 : 0), 0);
    const hosts = new Set<number>();
    let hostBase = 0;
    for (const group of groups) {
      for (let d = 0; d < group.deviceCount; d++)
        if (stageOfDevice[group.firstRank + d] === r)
          hosts.add(hostBase + Math.floor(d / group.devicesPerHost));
      hostBase += hostsOf(group);
    }
    return [String(r), String(devices), String(hosts.size), runsOf([...hosts])];
  });
  const numbers: Parameters<typeof table> = ['Stages on hosts', ['stage', 'devices', 'hosts', 'which'], rows];
  return html`<details>
    <summary>Stages on hosts, as a table</summary>
    ${table(...numbers)}
  </details>`;
}

/** `0-7, 16-23, ...` of ascending numbers. */
function runsOf(numbers: readonly number[]): string {
  const runs: string[] = [];
  for (let i = 0; i < numbers.length;) {
    let end = i;
    while (end + 1 < numbers.length && numbers[end + 1] === numbers[end] + 1) end++;
    runs.push(end === i ? String(numbers[i]) : `${numbers[i]}–${numbers[end]}`);
    i = end + 1;
  }
  return runs.length <= SHOWN_RUNS + 1
    ? runs.join(', ')
    : `${runs.slice(0, SHOWN_RUNS).join(', ')}, ... ${runs.at(-1)}`;
}

/** Levels of the network as bars of the seconds that their traffic takes at full speed. */
function trafficParts({ levels }: ClusterFacts, { traffic, stepTimeSec }: StepFacts): Markup {
  if (traffic.length === 0) return html`<p>No device sends anything.</p>`;
  const bandwidth = levels.map((l) => l.bytesPerSecPerDevice / l.oversubscription);
  const seconds = levels.map((_, l) => traffic.map((t) => t.bytesPerLevel[l] / bandwidth[l]));
  const most = Math.max(...seconds.map((parts) => parts.reduce((a, b) => a + b, 0)));
  const rows = levels.map((level, l) => {
    const sum = seconds[l].reduce((a, b) => a + b, 0);
    return {
      name: level.name,
      parts: traffic.map((t, i) => ({
        ...AXES[t.axis],
        share: most > 0 ? seconds[l][i] / most : 0,
        text: `${formatBytes(t.bytesPerLevel[l])}, ${formatSeconds(seconds[l][i])}`,
      })),
      text: sum > 0 ? `${formatSeconds(sum)}, ${formatPercent(sum / stepTimeSec)} of the step` : 'nothing',
    };
  });
  return html`
    <h3>Links that carry the traffic</h3>
    <p>
      Per level of the network, innermost first: how long what a device sends in a step would keep its link
      busy at the link's full rate. Some of it is hidden behind compute.
    </p>
    ${figure(
      'Traffic of each level of the network by axis; the table below tells the same',
      barRows(rows),
      `The longest bar is ${formatSeconds(most)}.`,
    )}
    ${legend(TRAFFIC_AXES.filter((a) => traffic.some((t) => t.axis === a)).map((a) => AXES[a]))}
    ${table(
      'Bytes that a device sends in a step',
      [
        'level',
        'joins',
        'rate',
        ...traffic.map((t) => `${AXES[t.axis].label} (${t.ranks} ranks, ${t.stride} apart)`),
      ],
      levels.map((level, l) => [
        `${level.name} (${level.kind})`,
        String(level.size),
        formatSi(bandwidth[l], 'B/s'),
        ...traffic.map((t) => (t.bytesPerLevel[l] > 0 ? formatBytes(t.bytesPerLevel[l]) : '–')),
      ]),
    )}
  `;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
