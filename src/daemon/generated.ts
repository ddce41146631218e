/** The files of the repository that are made from tables: `npm run generate` writes them, a test keeps them fresh. */
import { daemonJsonSchema } from "../config/daemon-config.ts";

export interface GeneratedFile {
  /** Relative to the package's root. */
  readonly path: string;
  readonly text: string;
}

export function generatedFiles(): GeneratedFile[] {
  return [
    {
      path: "config/zmend.schema.json",
      text: `${JSON.stringify(daemonJsonSchema(), null, 2)}\n`,
    },
  ];
}
