/**
 * Property tests use one fixed seed, so that a run can be repeated and a red one is red again.
 * `ZMEND_SEED=random npm test` explores; `ZMEND_SEED=N` repeats a run that fast-check reported.
 */
import fc from "fast-check";

const DEFAULT_SEED = 20261121;

const wanted = process.env["ZMEND_SEED"] ?? String(DEFAULT_SEED);
if (wanted !== "random") fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(wanted) });
