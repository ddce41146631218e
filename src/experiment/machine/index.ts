/** Real machines as guests of an experiment: what a thread that runs trials needs. */
export { Machines } from "./machines.ts";
export { MachineTrials } from "./trial.ts";
