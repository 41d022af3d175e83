import Foundation
import Graph
import Operators
import Support
import Testing

@Suite("Casts and quantisation")
struct ElementwiseCastTests {
  private func cast(_ x: Tensor, to type: DataType, _ attributes: [String: Attribute] = [:]) throws -> Tensor {
    let all = attributes.merging(["to": .int(Int64(type.rawValue))]) { first, _ in first }
    return try SingleOperator(type: "Cast", version: 25, attributes: all)(x)[0]
  }

  @Test("Every float16 code widens exactly and narrows back to itself")
  func halfCodes() throws {
    let codes = (0..<65536).map { UInt16($0) }
    let half = try Tensor(type: .float16, shape: [65536], values: codes)
    let wide = try cast(half, to: .float32)
    let values = wide.values(Float.self)
    for code in codes {
      let expected = Float(Float16(bitPattern: code))
      #expect(values[Int(code)] == expected || (expected.isNaN && values[Int(code)].isNaN))
    }
    let back = try cast(wide, to: .float16).values(UInt16.self)
    #expect(codes.allSatisfy { back[Int($0)] == $0 || Float16(bitPattern: $0).isNaN })
    let throughDouble = try cast(try cast(half, to: .float64), to: .float16).values(UInt16.self)
    #expect(codes.allSatisfy { throughDouble[Int($0)] == $0 || Float16(bitPattern: $0).isNaN })
  }

  @Test("float32 and float64 round to float16 as the language does")
  func halfRounding() throws {
    var state: UInt32 = 1
    let samples = (0..<20000).map { _ -> Float in
      state = state &* 1_664_525 &+ 1_013_904_223
      // Exponents around float16's range, with its subnormals and overflow.
      return Float(sign: .plus, exponent: Int(state >> 8) % 44 - 27, significand: 1 + Float(state & 0xFFFF) / 65536)
    }
    let narrow = try cast(Tensor(samples), to: .float16).values(Float16.self)
    #expect(zip(samples, narrow).allSatisfy { Float16($0) == $1 })
    // 1 + 2^-11 + 2^-30 lies above a tie that rounding through float32 would see exactly.
    let fine = try Tensor(doubles: [1 + 0x1p-11 + 0x1p-40])
    #expect(try cast(fine, to: .float16).values() == [Float16(1) + Float16(0x1p-10)])
  }

  @Test(
    "Every code of the 8-bit and 4-bit floats survives a round trip; values in between go to the nearest, ties to even")
  func smallFloats() throws {
    let types: [DataType] = [.float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz]
    for type in types {
      let codes = try Tensor(type: type, shape: [256], values: (0..<256).map { UInt8($0) })
      let values = try cast(codes, to: .float32).values(Float.self)
      let back = try cast(Tensor(values), to: type).values(UInt8.self)
      for code in 0..<256 where values[code].isFinite { #expect(Int(back[code]) == code, "\(type) \(code)") }
      for code in 0..<127 where values[code].isFinite && values[code + 1].isFinite {
        let middle = (values[code] + values[code + 1]) / 2
        let above = middle.nextUp
        let nearest = try cast(Tensor([middle, above, middle.nextDown]), to: type).values(UInt8.self)
        #expect(nearest == [UInt8(code + code % 2), UInt8(code + 1), UInt8(code)], "\(type) \(code)")
      }
    }
    let pairs = (0..<8).map { (pair: UInt8) -> UInt8 in pair * 2 | (pair * 2 + 1) << 4 }
    let nibbles = try Tensor(type: .float4e2m1, shape: [16], values: pairs)
    let values = try cast(nibbles, to: .float32).values(Float.self)
    let positive: [Float] = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    #expect(values == positive + positive.map { -$0 })
    let narrow = try cast(Tensor(values), to: .float4e2m1)
    #expect(narrow.packedBytes == pairs)
  }

  /// The tables of the Cast specification, columns x = NaN, ±infinity, ±1000000.
  @Test("Beyond the range: saturated or not, as the tables of the specification say")
  func saturation() throws {
    let x = try Tensor([.nan, .infinity, -.infinity, 1_000_000, -1_000_000])
    let tables: [(DataType, Bool, [UInt8])] = [
      (.float8e4m3fn, true, [0x7F, 0x7E, 0xFE, 0x7E, 0xFE]), (.float8e4m3fn, false, [0x7F, 0x7F, 0xFF, 0x7F, 0xFF]),
      (.float8e4m3fnuz, true, [0x80, 0x7F, 0xFF, 0x7F, 0xFF]),
      (.float8e4m3fnuz, false, [0x80, 0x80, 0x80, 0x80, 0x80]),
      (.float8e5m2, true, [0x7E, 0x7B, 0xFB, 0x7B, 0xFB]), (.float8e5m2, false, [0x7E, 0x7C, 0xFC, 0x7C, 0xFC]),
      (.float8e5m2fnuz, true, [0x80, 0x7F, 0xFF, 0x7F, 0xFF]),
      (.float8e5m2fnuz, false, [0x80, 0x80, 0x80, 0x80, 0x80]),
    ]
    for (type, saturate, codes) in tables {
      let result = try cast(x, to: type, ["saturate": .int(saturate ? 1 : 0)]).values(UInt8.self)
      #expect(result == codes, "\(type) saturate \(saturate)")
    }
  }

  @Test("Powers of two round up, down or to the nearest")
  func powersOfTwo() throws {
    let x = try Tensor([1, 1.25, 1.5, 1.75, 3e38, 0x1p-127, 1e-45])
    let expected: [(String, [UInt8])] = [
      ("up", [127, 128, 128, 128, 254, 0, 0]), ("down", [127, 127, 127, 127, 254, 0, 0]),
      ("nearest", [127, 127, 128, 128, 254, 0, 0]),
    ]
    for (mode, codes) in expected {
      let result = try cast(x, to: .float8e8m0, ["round_mode": .string(mode)]).values(UInt8.self)
      #expect(result == codes, "\(mode)")
    }
  }

  @Test("Small integers are packed, the first in the low bits")
  func packing() throws {
    let x = try Tensor(type: .int32, shape: [5], values: [Int32(1), -1, 7, -8, 3])
    let packed = try cast(x, to: .int4)
    #expect(packed.packedBytes == [0xF1, 0x87, 0x03])
    #expect(try cast(packed, to: .int32).values() == [1, -1, 7, -8, 3] as [Int32])
    let two = try cast(Tensor(type: .int32, shape: [5], values: [Int32(1), -1, -2, 0, 1]), to: .int2)
    #expect(try cast(two, to: .int8).values() == [1, -1, -2, 0, 1] as [Int8])
    #expect(try cast(two, to: .float32).values() == [1, -1, -2, 0, 1] as [Float])
  }

  @Test("Floats become integers toward zero; NaN and what is out of range do not trap")
  func floatToInteger() throws {
    let x = try Tensor([2.9, -2.9, .nan, .infinity, 1e30, -1e30])
    for type in [DataType.int8, .uint8, .int16, .uint16, .int32, .uint32, .int64, .uint64, .int4, .uint2, .bool] {
      #expect(try cast(x, to: type).shape == [6])
    }
    #expect(try cast(x, to: .int32).values(Int32.self)[..<2] == [2, -2])
    #expect(try cast(x, to: .bool).values() == [1, 1, 1, 1, 1, 1] as [UInt8])
    let wide = try Tensor(doubles: [0x1p63, 1.8e19])
    #expect(try cast(wide, to: .uint64).values() == [1 << 63, 18_000_000_000_000_000_000] as [UInt64])
  }

  @Test("Integers keep their low bits; int64 rounds to float32 once")
  func integers() throws {
    let x = try Tensor(int64: [300, -1, (1 << 53) + (1 << 29) + 1])
    #expect(try cast(x, to: .uint8).values(UInt8.self)[..<2] == [44, 255])
    #expect(try cast(x, to: .float32).values(Float.self)[2] == Float(x.values(Int64.self)[2]))
  }

  @Test("Strings hold decimal numbers")
  func strings() throws {
    let text = Tensor(strings: ["0.5", "-1e-3", "INF", "NaN", "42"], shape: [5])
    let numbers = try cast(text, to: .float32).values(Float.self)
    #expect(
      numbers[0] == 0.5 && numbers[1] == -0.001 && numbers[2] == .infinity && numbers[3].isNaN && numbers[4] == 42)
    let large = Tensor(strings: ["9223372036854775807", "-5"], shape: [2])
    #expect(try cast(large, to: .int64).values() == [.max, -5] as [Int64])
    #expect(throws: Failure.self) { try cast(Tensor(strings: ["apple"], shape: [1]), to: .float32) }
    #expect(try cast(Tensor([0.1, 1e-7, -3]), to: .string).strings == ["0.1", "1e-07", "-3.0"])
    #expect(try cast(Tensor(int64: [.min]), to: .string).strings == ["-9223372036854775808"])
  }

  @Test("QuantizeLinear and DequantizeLinear per tensor, per axis and per block agree with the formula")
  func quantization() throws {
    let shape = [2, 6, 3]
    let values = (0..<36).map { Float($0) * 1.7 - 30 }
    let x = try Tensor(values, shape)
    // (scale shape, axis, block size, scale of element)
    let layouts: [([Int], Int, Int, (Int) -> Int)] = [
      ([], 1, 0, { _ in 0 }), ([6], 1, 0, { $0 / 3 % 6 }), ([3], 2, 0, { $0 % 3 }), ([2], -3, 0, { $0 / 18 }),
      ([2, 2, 3], 1, 4, { (i: Int) -> Int in (i / 18 * 2 + i / 3 % 6 / 4) * 3 + i % 3 }),
      ([2, 6, 2], 2, 2, { (i: Int) -> Int in i / 3 * 2 + i % 3 / 2 }),
    ]
    for (scaleShape, axis, block, index) in layouts {
      let scales = (0..<scaleShape.reduce(1, *)).map { 0.25 + Float($0) * 0.125 }
      let zeroPoints = scales.indices.map { Int8($0 % 5) - 2 }
      let scale = try Tensor(scales, scaleShape)
      let zeroPoint = try Tensor(type: .int8, shape: scaleShape, values: zeroPoints)
      let attributes: [String: Attribute] = ["axis": .int(Int64(axis)), "block_size": .int(Int64(block))]
      for threads in [1, 2] {
        let quantize = SingleOperator(type: "QuantizeLinear", attributes: attributes, threads: threads)
        let quantized = try quantize(x, scale, zeroPoint)[0]
        let codes = quantized.values(Int8.self)
        for element in values.indices {
          let exact = (values[element] / scales[index(element)]).rounded(.toNearestOrEven)
          let expected = min(max(exact + Float(zeroPoints[index(element)]), -128), 127)
          #expect(Float(codes[element]) == expected, "\(scaleShape) axis \(axis) at \(element)")
        }
        let dequantize = SingleOperator(type: "DequantizeLinear", attributes: attributes, threads: threads)
        let restored = try dequantize(quantized, scale, zeroPoint)[0].values(Float.self)
        for element in values.indices {
          let expected = (Float(codes[element]) - Float(zeroPoints[index(element)])) * scales[index(element)]
          #expect(restored[element] == expected)
        }
      }
    }
    #expect(throws: Failure.self) { try SingleOperator(type: "QuantizeLinear")(x, Tensor([1, 2])) }
  }

  @Test("DynamicQuantizeLinear: a constant zero tensor and a huge one")
  func dynamicQuantization() throws {
    let dynamic = SingleOperator(type: "DynamicQuantizeLinear", version: 11, outputCount: 3)
    let zero = try dynamic(Tensor([0, 0]))
    #expect(zero[0].values() == [0, 0] as [UInt8] && zero[1].values(Float.self)[0] > 0)
    let tiny = try dynamic(Tensor([1e-45, 0]))
    #expect(tiny.count == 3)
    #expect(throws: Failure.self) { try dynamic(Tensor([.infinity, 0])) }
  }
}
