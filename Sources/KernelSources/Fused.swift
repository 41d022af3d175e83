internal import CSIMD

func gegluTile(
  _ rows: Int, _ columns: Int, _ x: In, _ gate: In, _ stride: Int, _ xBias: In?, _ gateBias: In?, _ out: Out,
  _ outStride: Int
) {
  var c = 0
  while c < columns {
    let rest = columns &- c
    let partial = rest < lanes
    let shift = xBias.map { partial ? csimd_load_first($0 + c, rest) : csimd_load($0 + c) } ?? csimd_splat(0)
    let gateShift = gateBias.map { partial ? csimd_load_first($0 + c, rest) : csimd_load($0 + c) } ?? csimd_splat(0)
    for row in 0..<rows {
      let from = row &* stride &+ c
      let to = out + (row &* outStride &+ c)
      if partial {
        let y = (csimd_load_first(x + from, rest) + shift) * vgelu(csimd_load_first(gate + from, rest) + gateShift)
        csimd_store_first(to, y, rest)
      } else {
        csimd_store(to, (csimd_load(x + from) + shift) * vgelu(csimd_load(gate + from) + gateShift))
      }
    }
    c &+= lanes
  }
}
