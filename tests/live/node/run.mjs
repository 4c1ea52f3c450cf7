import "./connecting.mjs";
import "./events.mjs";
import "./rooms.mjs";
import "./endings.mjs";
import "./many.mjs";
import "./operators.mjs";
import { parser, run } from "./checks.mjs";

if (parser) await import("./msgpack.mjs");
await run();
