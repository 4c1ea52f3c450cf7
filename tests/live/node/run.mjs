import "./connecting.mjs";
import "./events.mjs";
import "./rooms.mjs";
import "./endings.mjs";
import "./many.mjs";
import { run } from "./checks.mjs";

await run();
