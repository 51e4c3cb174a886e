/** The package has no types of its own. */
declare module 'parse-prometheus-text-format' {
  interface Family {
    readonly name: string;
    readonly help: string;
    readonly type: string;
    /** Histograms and summaries have no `value`. */
    readonly metrics: readonly {
      readonly value?: string;
      readonly labels?: Readonly<Record<string, string>>;
      readonly timestamp_ms?: string;
    }[];
  }
  export default function parsePrometheusTextFormat(text: string): readonly Family[];
}
