import Testing

@testable import Support

@Suite struct JSONTests {
  @Test func readsPythonsDialect() throws {
    let json = try JSON.parse(
      #"{"a": [1, -2.5e3, true, null], "b": {"c": "x\u00e9\ud83d\ude00\n"}, "i": -Infinity, "n": NaN}"#)
    #expect(json["a"]?[1]?.double == -2500)
    #expect(json["a"]?[0]?.int == 1)
    #expect(json["a"]?[3]?.isNull == true)
    #expect(json["b"]?["c"]?.string == "xé😀\n")
    #expect(json["i"]?.double == -.infinity)
    #expect(json["n"]?.double?.isNaN == true)
    #expect(json["missing"] == nil)
  }

  @Test(arguments: [
    "", "{", "[1,]", "{\"a\" 1}", "{\"a\":1,}", "01", "1.", "1e", "-", "tru", "\"abc", "\"\\x\"", "\"\\u12g4\"",
    "[1] 2",
    "\"\u{1}\"", "{a:1}", "nulll", "+1",
  ])
  func refusesBrokenText(text: String) {
    #expect { try JSON.parse(text) } throws: { error in
      (error as? Failure)?.status == .corrupt && (error as? Failure)?.message.contains("at byte") == true
    }
  }

  @Test func refusesDeepNesting() {
    let deep = String(repeating: "[", count: 100_000)
    #expect(throws: Failure.self) { try JSON.parse(deep) }
  }

  @Test func refusesInvalidUTF8() {
    let bytes: [UInt8] = [0x22, 0xC3, 0x28, 0x22]
    #expect(throws: Failure.self) { try bytes.withUnsafeBytes { try JSON.parse($0) } }
  }

  @Test func writesWhatItReads() throws {
    let text = #"{"a":[1,2.5,"q\"\\\n\u0001é"],"b":null,"c":true}"#
    #expect(try JSON.parse(text).text == text)
    #expect(JSON.number(.infinity).text == "null")
  }

  @Test func missingFileIsNotFound() {
    #expect { try JSON.parse(file: "/nonexistent/x.json") } throws: { ($0 as? Failure)?.status == .notFound }
    #expect { try JSON.parse(file: "/") } throws: { ($0 as? Failure)?.status == .io }
  }
}
