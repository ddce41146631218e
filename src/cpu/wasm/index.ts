export { FunctionBuilder, type Label, type Local } from "./function-builder.ts";
export { ModuleBuilder, type Signature } from "./module-builder.ts";
export * from "./ops.ts";
