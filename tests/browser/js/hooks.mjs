// Lets Node read the pages' modules where a server would: /kit is webchat's folder, and every .js is a module.

import { register } from "node:module";

const hooks = `
  const root = new URL("../../../", ${JSON.stringify(import.meta.url)});
  export async function resolve(specifier, context, next) {
    const there = specifier.startsWith("/kit/") ? new URL("example_bridge/webchat/server/static" + specifier, root).href : specifier;
    const found = await next(there, context);
    return found.url.startsWith(root.href) && found.url.endsWith(".js") ? { ...found, format: "module" } : found;
  }`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
