/** The files of the repository that are made from tables: `npm run generate` writes them, a test keeps them fresh. */
import { daemonJsonSchema } from "../config/daemon-config.ts";
import { ledgerJsonSchema } from "../experiment/ledger-schema.ts";
import { configPage, systemPage, zmendPage } from "./man.ts";
import { createProgram } from "./program.ts";

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
    {
      path: "config/ledger.schema.json",
      text: `${JSON.stringify(ledgerJsonSchema(), null, 2)}\n`,
    },
    { path: "config/man/zmend.1", text: zmendPage(createProgram()) },
    { path: "config/man/zmend-system-s390x.1", text: systemPage() },
    { path: "config/man/zmend.yaml.5", text: configPage() },
  ];
}
