/** A reader of FlatBuffers that trusts nothing: every offset is checked before it is followed.
 *
 * Source of the format: https://flatbuffers.dev/internals; all numbers are little-endian. */

/** Thrown for every offset or length that leads out of the bytes. */
export class Damaged extends Error {}

/**
 * Elements of vectors that are read from one file.  Tables may share a vector, so a small file can be made to look
 * endless; the largest networks have some hundred thousand elements.
 */
const MAX_ELEMENTS = 1 << 21;

/** A table: where it is and where its fields are. */
export class Table {
  private readonly vtable: number;
  private readonly fields: number;

  constructor(
    private readonly view: DataView,
    private readonly at: number,
    private readonly left = { elements: MAX_ELEMENTS },
  ) {
    this.vtable = at - int32(view, at);
    const sizeBytes = uint16(view, this.vtable);
    if (sizeBytes < 4 || sizeBytes % 2 !== 0) throw new Damaged('vtable');
    inside(view, this.vtable, sizeBytes);
    inside(view, at, uint16(view, this.vtable + 2));
    this.fields = sizeBytes / 2 - 2;
  }

  static root(view: DataView): Table {
    return new Table(view, uint32(view, 0));
  }

  uint32(field: number): number {
    const at = this.field(field);
    return at === null ? 0 : uint32(this.view, at);
  }

  int8(field: number): number {
    const at = this.field(field);
    return at === null ? 0 : (uint8(this.view, at) << 24) >> 24;
  }

  string(field: number): string {
    const bytes = this.bytes(field);
    return bytes === null ? '' : new TextDecoder().decode(bytes);
  }

  /** A vector of bytes, or null when it is absent; a view, not a copy. */
  bytes(field: number): Uint8Array | null {
    const vector = this.vector(field, 1);
    return vector === null
      ? null
      : new Uint8Array(this.view.buffer, this.view.byteOffset + vector.at, vector.length);
  }

  int32s(field: number, most: number): number[] {
    const vector = this.vector(field, 4);
    if (vector === null) return [];
    this.take(vector.length, most);
    return Array.from({ length: vector.length }, (_, i) => int32(this.view, vector.at + 4 * i));
  }

  tables(field: number, most: number): Table[] {
    const vector = this.vector(field, 4);
    if (vector === null) return [];
    this.take(vector.length, most);
    return Array.from({ length: vector.length }, (_, i) => {
      const at = vector.at + 4 * i;
      return new Table(this.view, at + uint32(this.view, at), this.left);
    });
  }

  private take(elements: number, most: number): void {
    if (elements > most) throw new Damaged('vector too long');
    this.left.elements -= elements;
    if (this.left.elements < 0) throw new Damaged('too many elements');
  }

  private field(field: number): number | null {
    if (field >= this.fields) return null;
    const offset = uint16(this.view, this.vtable + 4 + 2 * field);
    return offset === 0 ? null : this.at + offset;
  }

  private vector(field: number, stride: number): { at: number; length: number } | null {
    const at = this.field(field);
    if (at === null) return null;
    const start = at + uint32(this.view, at);
    const length = uint32(this.view, start);
    if (start + 4 + length * stride > this.view.byteLength) throw new Damaged('vector');
    return { at: start + 4, length };
  }
}

function inside(view: DataView, at: number, bytes: number): void {
  if (at < 0 || at + bytes > view.byteLength) throw new Damaged('offset');
}

function uint8(view: DataView, at: number): number {
  inside(view, at, 1);
  return view.getUint8(at);
}

function uint16(view: DataView, at: number): number {
  inside(view, at, 2);
  return view.getUint16(at, true);
}

function uint32(view: DataView, at: number): number {
  inside(view, at, 4);
  return view.getUint32(at, true);
}

function int32(view: DataView, at: number): number {
  inside(view, at, 4);
  return view.getInt32(at, true);
}
