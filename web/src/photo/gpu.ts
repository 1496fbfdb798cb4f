/** Looking colours up with WebGL2, tile by tile, with the same arithmetic as on the processor. */

import type { Levels } from './levels';
import type { LookUp, Table } from './lut';

/** Longest side of a tile: every WebGL2 takes it, and its three buffers are small beside a photo. */
const TILE_PIXELS = 2048;

const VERTEX = `#version 300 es
void main() { // one triangle that covers the tile
  gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}`;

/** Eight fetches and not the sampler's own interpolation, which has 8 bits of fraction on many phones. */
const FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp sampler3D;
uniform sampler2D photo;
uniform sampler3D table;
uniform vec3 low;
uniform vec3 span;
out vec4 result;

vec3 at(ivec3 cell) { return texelFetch(table, cell, 0).rgb; }

void main() {
  vec4 pixel = texelFetch(photo, ivec2(gl_FragCoord.xy), 0);
  int size = textureSize(table, 0).x;
  vec3 position = clamp((pixel.rgb - low) / span, 0.0, 1.0) * float(size - 1);
  ivec3 c = min(ivec3(position), ivec3(size - 2));
  vec3 s = position - vec3(c);
  ivec2 o = ivec2(0, 1);
  // the table's fastest axis is blue: x of the texture is blue, y green, z red
  vec3 near = mix(mix(at(c.bgr), at(c.bgr + o.yxx), s.b), mix(at(c.bgr + o.xyx), at(c.bgr + o.yyx), s.b), s.g);
  vec3 far = mix(mix(at(c.bgr + o.xxy), at(c.bgr + o.yxy), s.b), mix(at(c.bgr + o.xyy), at(c.bgr + o.yyy), s.b), s.g);
  vec3 colour = clamp(mix(near, far, s.r), 0.0, 1.0);
  result = vec4(floor(colour * 255.0 + 0.5) / 255.0, pixel.a);
}`;

/** Thrown when the graphics processor stopped answering; the pixels given are as they were. */
export class GpuLost extends Error {}

/** Trilinear interpolation in a fragment shader. */
export class GpuLookUp implements LookUp {
  readonly name = 'WebGL2';
  private readonly tile: number;
  private readonly photo: WebGLTexture;
  private readonly target: WebGLTexture;
  private readonly answer: Uint8Array;

  private constructor(
    private readonly gl: WebGL2RenderingContext,
    table: Table,
    levels: Levels,
    longestTile: number,
  ) {
    this.tile = Math.min(longestTile, gl.getParameter(gl.MAX_TEXTURE_SIZE) as number);
    const program = link(gl);
    gl.useProgram(program);
    gl.uniform3fv(gl.getUniformLocation(program, 'low'), levels.low);
    gl.uniform3fv(gl.getUniformLocation(program, 'span'), levels.span);
    gl.uniform1i(gl.getUniformLocation(program, 'photo'), 0);
    gl.uniform1i(gl.getUniformLocation(program, 'table'), 1);
    gl.bindVertexArray(gl.createVertexArray());
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.pixelStorei(gl.PACK_ALIGNMENT, 1);
    uploadTable(gl, table);
    gl.activeTexture(gl.TEXTURE0);
    this.target = this.bytes();
    this.photo = this.bytes();
    gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.target, 0);
    this.answer = new Uint8Array(this.tile * this.tile * 4);
  }

  /** Start one; null where the browser has no WebGL2 or its driver refuses the program. */
  static open(table: Table, levels: Levels, longestTile = TILE_PIXELS): GpuLookUp | null {
    const gl = context();
    if (gl === null) return null;
    try {
      const made = new GpuLookUp(gl, table, levels, longestTile);
      if (
        gl.getError() === gl.NO_ERROR &&
        gl.checkFramebufferStatus(gl.FRAMEBUFFER) === gl.FRAMEBUFFER_COMPLETE
      ) {
        return made;
      }
      made.close();
    } catch {
      gl.getExtension('WEBGL_lose_context')?.loseContext();
    }
    return null;
  }

  apply(pixels: Uint8ClampedArray, width: number, height: number): void {
    const result = new Uint8Array(pixels.length);
    const source = new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.length);
    for (let top = 0; top < height; top += this.tile) {
      for (let left = 0; left < width; left += this.tile) {
        const tileWidth = Math.min(this.tile, width - left);
        const tileHeight = Math.min(this.tile, height - top);
        this.draw(source, width, left, top, tileWidth, tileHeight);
        this.copyTo(result, width, left, top, tileWidth, tileHeight);
      }
    }
    if (this.gl.isContextLost() || this.gl.getError() !== this.gl.NO_ERROR) throw new GpuLost();
    pixels.set(result);
  }

  close(): void {
    this.gl.getExtension('WEBGL_lose_context')?.loseContext();
  }

  private draw(
    source: Uint8Array,
    stride: number,
    left: number,
    top: number,
    width: number,
    height: number,
  ): void {
    const { gl } = this;
    gl.pixelStorei(gl.UNPACK_ROW_LENGTH, stride);
    gl.bindTexture(gl.TEXTURE_2D, this.photo);
    const start = (top * stride + left) * 4;
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, source, start);
    gl.viewport(0, 0, width, height);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  private copyTo(
    result: Uint8Array,
    stride: number,
    left: number,
    top: number,
    width: number,
    height: number,
  ): void {
    const { gl, answer } = this;
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, answer);
    for (let y = 0; y < height; y++) {
      result.set(answer.subarray(y * width * 4, (y + 1) * width * 4), ((top + y) * stride + left) * 4);
    }
  }

  /** An empty texture of one tile of bytes. */
  private bytes(): WebGLTexture {
    const { gl } = this;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, this.tile, this.tile);
    nearest(gl, gl.TEXTURE_2D);
    return texture;
  }
}

function context(): WebGL2RenderingContext | null {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 1;
  return canvas.getContext('webgl2', {
    alpha: true,
    antialias: false,
    depth: false,
    powerPreference: 'low-power',
  });
}

function link(gl: WebGL2RenderingContext): WebGLProgram {
  const program = gl.createProgram();
  for (const [kind, text] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ] as const) {
    const shader = gl.createShader(kind);
    if (shader === null) throw new GpuLost();
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS))
    throw new Error(gl.getProgramInfoLog(program) ?? 'link');
  return program;
}

function uploadTable(gl: WebGL2RenderingContext, { size, values }: Table): void {
  const wide = new Float32Array(size ** 3 * 4); // three floats a texel is no format that all drivers keep exact
  for (let i = 0; i < size ** 3; i++) wide.set(values.subarray(i * 3, i * 3 + 3), i * 4);
  gl.activeTexture(gl.TEXTURE1);
  gl.bindTexture(gl.TEXTURE_3D, gl.createTexture());
  gl.texStorage3D(gl.TEXTURE_3D, 1, gl.RGBA32F, size, size, size);
  gl.texSubImage3D(gl.TEXTURE_3D, 0, 0, 0, 0, size, size, size, gl.RGBA, gl.FLOAT, wide);
  nearest(gl, gl.TEXTURE_3D);
}

function nearest(gl: WebGL2RenderingContext, kind: number): void {
  gl.texParameteri(kind, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(kind, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
}
