// A mover of one's own in another language: ClickHouse to ClickHouse, full refresh, by HTTP. Node 18 needs no package.
"use strict";

async function main() {
  const order = JSON.parse(await text(process.stdin));
  if (order.ask === "supports") {
    return { supports: [{ case: "clickhouse_to_clickhouse__full_refresh", status: "supported" }] };
  }
  const source = server(order.source), sink = server(order.sink);
  const old = table(order.source), fresh = table(order.sink), staged = table(order.sink, "_staged");
  await run(sink, `DROP TABLE IF EXISTS ${staged}`);
  const query = await selection(source, order.source);
  await run(sink, await definition(source, query, staged));
  const rows = await run(source, `${query} FORMAT Parquet`);
  await run(sink, `INSERT INTO ${staged} FORMAT Parquet`, rows);
  const read = await count(source, old), written = await count(sink, staged);
  const known = await run(sink, `EXISTS TABLE ${fresh}`);
  if (Number(known.toString()) === 1) {
    await run(sink, `EXCHANGE TABLES ${staged} AND ${fresh}`); // a reader sees the old rows or the new ones
    await run(sink, `DROP TABLE ${staged}`);
  } else {
    await run(sink, `RENAME TABLE ${staged} TO ${fresh}`);
  }
  return { read, written };
}

// The address and the account of an endpoint.
function server(end) {
  const url = new URL(end.url.replace(/^clickhouse/, "http"));
  const headers = {
    "X-ClickHouse-User": decodeURIComponent(url.username),
    "X-ClickHouse-Key": decodeURIComponent(url.password),
  };
  return { url: `${url.protocol}//${url.host}/`, headers };
}

function table(end, suffix = "") {
  return `${quoted(end.namespace)}.${quoted(end.table + suffix)}`;
}

function quoted(name) {
  return "`" + name.replace(/\\/g, "\\\\").replace(/`/g, "\\`") + "`";
}

// A column of a plain type stays as it is, any other one becomes text.
const PLAIN = /^(Nullable\()?(U?Int(8|16|32|64)|Float|Bool|Decimal|Date|String|FixedString|UUID|Array\((Nullable\()?(Int64|String)\b)/;

async function selection(at, end) {
  const columns = await names(at, `DESCRIBE TABLE ${table(end)}`);
  const values = columns.map(([name, type]) =>
    PLAIN.test(type) ? quoted(name) : `toString(${quoted(name)}) AS ${quoted(name)}`,
  );
  return `SELECT ${values.join(", ")} FROM ${table(end)}`;
}

async function definition(at, query, name) {
  const columns = (await names(at, `DESCRIBE (${query})`)).map(
    ([column, type]) => `${quoted(column)} ${type.replace(/^LowCardinality\((.*)\)$/, "$1")}`,
  );
  return `CREATE TABLE ${name} (${columns.join(", ")}) ENGINE = MergeTree ORDER BY tuple()`;
}

async function names(at, query) {
  return JSON.parse(await run(at, `${query} FORMAT JSONCompact`)).data;
}

async function count(at, name) {
  return Number((await run(at, `SELECT count() FROM ${name}`)).toString());
}

async function run(at, query, body = "") {
  const url = at.url + "?query=" + encodeURIComponent(query);
  const answer = await fetch(url, { method: "POST", headers: at.headers, body });
  const bytes = Buffer.from(await answer.arrayBuffer());
  if (!answer.ok) {
    throw new Error(`${query.slice(0, 80)}: ${bytes.toString().slice(0, 500)}`);
  }
  return bytes;
}

async function text(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString();
}

main().then(
  (facts) => console.log(JSON.stringify(facts)),
  (error) => {
    console.error(error.message);
    process.exitCode = 1;
  },
);
