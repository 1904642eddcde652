import { clone, equal, isRecord, setKey } from "../object.ts";
import { badRequest, StatusError } from "../status.ts";

const MAX_OPERATIONS = 10_000;

function steps(pointer: unknown): string[] {
  if (typeof pointer !== "string" || (pointer !== "" && !pointer.startsWith("/")))
    throw badRequest(`invalid JSON pointer ${JSON.stringify(pointer)}`);
  if (pointer === "") return [];
  return pointer
    .slice(1)
    .split("/")
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function failed(text: string): StatusError {
  return new StatusError(422, "Invalid", `the server rejected our request due to an error in our request: ${text}`);
}

function index(step: string, length: number): number {
  if (!/^(0|[1-9]\d*)$/.test(step) || Number(step) > length) throw failed(`array index "${step}" is out of range`);
  return Number(step);
}

function read(root: unknown, path: readonly string[]): unknown {
  let value = root;
  for (const step of path) {
    if (Array.isArray(value)) value = value[index(step, value.length - 1)];
    else if (isRecord(value) && Object.hasOwn(value, step)) value = value[step];
    else throw failed(`path /${path.join("/")} does not exist`);
  }
  return value;
}

function write(root: unknown, path: readonly string[], value: unknown, replace: boolean): unknown {
  const last = path.at(-1);
  if (last === undefined) return value;
  const parent = read(root, path.slice(0, -1));
  if (Array.isArray(parent)) {
    if (replace) parent[index(last, parent.length - 1)] = value;
    else parent.splice(last === "-" ? parent.length : index(last, parent.length), 0, value);
  } else if (isRecord(parent)) {
    if (replace && !Object.hasOwn(parent, last)) throw failed(`path /${path.join("/")} does not exist`);
    setKey(parent, last, value);
  } else throw failed(`path /${path.join("/")} has no parent`);
  return root;
}

function remove(root: unknown, path: readonly string[]): void {
  const last = path.at(-1);
  if (last === undefined) throw failed("cannot remove the whole document");
  const parent = read(root, path.slice(0, -1));
  if (Array.isArray(parent)) parent.splice(index(last, parent.length - 1), 1);
  else if (isRecord(parent) && Object.hasOwn(parent, last)) delete parent[last];
  else throw failed(`path /${path.join("/")} does not exist`);
}

/** `target` after a JSON patch (RFC 6902); `target` itself is left alone. @throws StatusError 400 or 422 */
export function applyJsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw badRequest("a JSON patch must be an array of operations");
  if (patch.length > MAX_OPERATIONS) throw badRequest(`a JSON patch may have at most ${MAX_OPERATIONS} operations`);
  let root = clone(target);
  for (const operation of patch) {
    if (!isRecord(operation)) throw badRequest("a JSON patch operation must be an object");
    const path = steps(operation["path"]);
    switch (operation["op"]) {
      case "add":
        root = write(root, path, clone(operation["value"]), false);
        break;
      case "replace":
        read(root, path);
        root = write(root, path, clone(operation["value"]), true);
        break;
      case "remove":
        remove(root, path);
        break;
      case "move": {
        const from = steps(operation["from"]);
        const value = read(root, from);
        remove(root, from);
        root = write(root, path, value, false);
        break;
      }
      case "copy":
        root = write(root, path, clone(read(root, steps(operation["from"]))), false);
        break;
      case "test":
        if (!equal(read(root, path), operation["value"]))
          throw failed(`testing path ${String(operation["path"])} failed`);
        break;
      default:
        throw badRequest(`unknown JSON patch operation ${JSON.stringify(operation["op"])}`);
    }
  }
  return root;
}
