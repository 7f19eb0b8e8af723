// What a scripted session showed, normalised so that two runs can be compared as text. The same as transcript.py.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

// How long a `wait` step waits for its events before the run fails.
const WAIT_MILLISECONDS_MAX = 10_000;
const WAIT_STEP_MILLISECONDS = 20;

/** Reads a script and puts in the values of its `@NAME@` placeholders. */
export function loadScript(path, define) {
  let text = readFileSync(path, "utf8");
  for (const [name, value] of Object.entries(define)) {
    text = text.replaceAll(`@${name}@`, () => JSON.stringify(value).slice(1, -1));
  }
  const missing = text.match(/@([A-Z]+)@/);
  if (missing) throw new Error(`\`${path}\` needs \`--define ${missing[1]}=…\``);
  return JSON.parse(text);
}

/** The same value with its keys in order, so that equal values print equal text. */
function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

/** Steps in order; events sorted within their method, because they may arrive beside any step. */
export class Transcript {
  about = {};
  steps = [];
  events = {};

  constructor(script, define) {
    this.masks = (script.mask ?? []).map(([pattern, shown]) => [new RegExp(pattern, "g"), shown]);
    this.dropped = (script.drop ?? []).map((pattern) => new RegExp(pattern));
    // Longest value first: a value inside another must not break it.
    this.names = Object.entries(define).sort((a, b) => b[1].length - a[1].length);
  }

  connected(about) {
    this.about = this.masked(about);
  }

  step(step, entry) {
    this.steps.push({ step: this.masked(step), ...this.masked(entry) });
  }

  event(method, params) {
    if (this.dropped.some((pattern) => pattern.test(JSON.stringify(params)))) return;
    (this.events[method] ??= []).push(this.masked(params));
  }

  /** Returns when `count` events of `method` have been seen in all. */
  waitFor(method, count) {
    const enough = () => (this.events[method]?.length ?? 0) >= count;
    return this.waitUntil(enough, WAIT_MILLISECONDS_MAX, `${count} of \`${method}\``);
  }

  /** Returns when `enough` says so. */
  async waitUntil(enough, milliseconds, what) {
    for (let waited = 0; !enough(); waited += WAIT_STEP_MILLISECONDS) {
      if (waited > milliseconds) throw new Error(`waited ${waited} ms for ${what}`);
      await sleep(WAIT_STEP_MILLISECONDS);
    }
  }

  masked(value) {
    if (typeof value === "string") {
      for (const [name, text] of this.names) value = value.replaceAll(text, () => `@${name}@`);
      for (const [pattern, shown] of this.masks) value = value.replace(pattern, () => shown);
      return value;
    }
    if (Array.isArray(value)) return value.map((element) => this.masked(element));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, this.masked(member)]));
  }

  text() {
    const order = (a, b) => (JSON.stringify(sorted(a)) < JSON.stringify(sorted(b)) ? -1 : 1);
    const events = Object.fromEntries(Object.entries(this.events).map(([method, seen]) => [method, seen.sort(order)]));
    return JSON.stringify(sorted({ about: this.about, steps: this.steps, events }), null, 1);
  }
}
