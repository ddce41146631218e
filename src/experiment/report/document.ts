/**
 * A report before it has a format: blocks that the HTML page and the Markdown file both render, so that they cannot
 * say different things. Plain text everywhere; renderers escape it.
 */
export interface Column {
  readonly title: string;
  readonly numeric?: boolean;
}

export type Block =
  | { readonly kind: "heading"; readonly text: string }
  | { readonly kind: "verdict"; readonly text: string; readonly facts: readonly string[] }
  | { readonly kind: "paragraph"; readonly text: string }
  | { readonly kind: "list"; readonly items: readonly string[] }
  | {
      readonly kind: "table";
      readonly caption: string;
      readonly columns: readonly Column[];
      readonly rows: readonly (readonly string[])[];
      /** Rows to set in bold: the leader. */
      readonly strong?: readonly number[];
    }
  | {
      readonly kind: "figure";
      readonly id: string;
      readonly title: string;
      /** What the picture shows, for those who do not see it. */
      readonly description: string;
      readonly svg: string;
    }
  | { readonly kind: "code"; readonly text: string };

export interface ReportDocument {
  readonly title: string;
  readonly subtitle: string;
  readonly blocks: readonly Block[];
}
