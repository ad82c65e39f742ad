// What `pack.py` packed: base64, zlib, JSON; then columns, which are kept as they are and read cell by cell.

async function unpack(id) {
  const holder = document.getElementById(id);
  if (!holder) return null;
  const text = atob(holder.textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

// A function from the number of a row to its cell.
function reader(column) {
  if (Array.isArray(column)) return (row) => column[row];
  if ("c" in column) return () => column.c;
  if ("v" in column) return (row) => column.v[column.i[row]];
  const values = new Float64Array(column.d.length);
  let sum = 0;
  column.d.forEach((step, row) => { sum += step; values[row] = sum; });
  return (row) => values[row];
}

const MICROS = 1e6;

// The facts of one kind. `at` is in seconds from the report's zero, null of a kind that has no instants.
class Table {
  constructor(raw) {
    this.kind = raw.kind;
    this.rows = raw.rows;
    this.total = raw.total;
    this.note = raw.note;
    this.instants = new Set(raw.instants);
    this.lead = raw.instants[0];
    this.names = Object.keys(raw.columns);
    this.read = Object.fromEntries(this.names.map((name) => [name, reader(raw.columns[name])]));
  }

  at(row) {
    return this.lead ? this.read[this.lead](row) / MICROS : null;
  }

  // A cell; instants in seconds.
  cell(name, row) {
    const value = this.read[name] ? this.read[name](row) : undefined;
    if (!this.instants.has(name) || value === null) return value;
    return name === this.lead ? value / MICROS : (this.read[this.lead](row) + value) / MICROS;
  }

  record(row) {
    return Object.fromEntries(this.names.map((name) => [name, this.cell(name, row)]));
  }
}
