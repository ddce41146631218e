/** Public surface of the page. */
export { type InjectionOptions, newToken } from "./inject.ts";
export { createPage, type Page, type PageOptions } from "./page.ts";
