/** Pixels of a bitmap without premultiplied alpha, which a 2D canvas cannot give. */

/** Every WebGL2 takes a texture of this side. */
const TILE_PIXELS = 2048;
const RGBA = 4;

/**
 * RGBA bytes as they were decoded, or null where the browser has no WebGL2.
 *
 * @param bitmap was made with `premultiplyAlpha: 'none'`.
 */
export async function straightPixels(bitmap: ImageBitmap): Promise<ImageData | null> {
  const gl = new OffscreenCanvas(1, 1).getContext('webgl2');
  if (gl === null) return null;
  try {
    const { width, height } = bitmap;
    const result = new ImageData(width, height);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
    for (let top = 0; top < height; top += TILE_PIXELS) {
      for (let left = 0; left < width; left += TILE_PIXELS) {
        const size = [Math.min(TILE_PIXELS, width - left), Math.min(TILE_PIXELS, height - top)] as const;
        const tile = await createImageBitmap(bitmap, left, top, ...size, { premultiplyAlpha: 'none' });
        const bytes = readBack(gl, tile);
        tile.close();
        for (let y = 0; y < size[1]; y++) {
          const row = bytes.subarray(y * size[0] * RGBA, (y + 1) * size[0] * RGBA);
          result.data.set(row, ((top + y) * width + left) * RGBA);
        }
      }
    }
    return gl.getError() === gl.NO_ERROR ? result : null;
  } finally {
    gl.getExtension('WEBGL_lose_context')?.loseContext();
  }
}

/** Through the texture that is bound: it takes a bitmap's alpha as it is. */
function readBack(gl: WebGL2RenderingContext, tile: ImageBitmap): Uint8Array {
  const { width, height } = tile;
  const texture = gl.getParameter(gl.TEXTURE_BINDING_2D) as WebGLTexture;
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, tile);
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
  const bytes = new Uint8Array(width * height * RGBA);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
  return bytes;
}
