import Support
import Testing

@testable import Training

@Suite struct RewardTableTests {
  @Test func readsColumnsInAnyOrderAndQuotedTexts() throws {
    let table = try Tables.table(
      "steps,quality,prompt,ms,seed,group\r\n20,2,\"a \"\"red\"\" cat, alone\",30,7,icon\r\n10,1,\"a \"\"red\"\" cat, alone\",15,7,icon\n"
    )
    #expect(table.prompts == ["a \"red\" cat, alone"])
    #expect(table.stepSet == [10, 20])
    #expect(table.metrics == ["quality": [1, 2]])
    #expect(table.milliseconds == [15, 30])
    #expect(table.units == [RewardTable.Unit(prompt: 0, seed: 7)])
    #expect(table.groups == ["icon"])
  }

  /// Each table is refused with this status, and the message names the line or prompt.
  @Test(arguments: [
    ("", Status.corrupt, "empty"), ("prompt,steps,q\n", .corrupt, "no rows"),
    ("steps,q\n1,1\n", .corrupt, "'prompt' and 'steps'"), ("prompt,steps\nx,1\n", .corrupt, "quality metric"),
    ("prompt,steps,q,q\n", .corrupt, "different names"), ("prompt,steps,q\nx,1\n", .corrupt, "line 2"),
    ("prompt,steps,q\nx,1,1\nx,1,2\nx,2,1\n", .corrupt, "a second row with 1 steps"),
    ("prompt,steps,q\nx,1,1\nx,2,1\ny,1,1\n", .corrupt, "no row with 2 steps for 'y'"),
    ("prompt,steps,q\nx,1,nan\nx,2,1\n", .notFinite, "line 2"),
    ("prompt,steps,q\nx,1,1\nx,2,inf\n", .notFinite, "line 3"),
    ("prompt,steps,q\nx,1,good\n", .corrupt, "'q' is not a number"),
    ("prompt,steps,q\nx,0,1\n", .corrupt, "'steps'"), ("prompt,steps,q\nx,1001,1\n", .corrupt, "'steps'"),
    ("prompt,steps,q\nx,1.5,1\n", .corrupt, "'steps'"), ("prompt,seed,steps,q\nx,-1,1,1\n", .corrupt, "'seed'"),
    ("prompt,steps,q\nx,10,1\n", .corrupt, "two numbers of steps"),
    ("prompt,steps,q\n\"x,1,1\n", .corrupt, "does not end"),
    ("prompt,steps,q\n\"x\"y,1,1\n", .corrupt, "follows a quoted"),
  ])
  func refuses(_ text: String, _ status: Status, _ part: String) {
    #expect { try Tables.table(text) } throws: { error in
      let failure = error as? Failure
      return failure?.status == status && (failure?.description.contains(part) ?? false)
        && (failure?.description.contains("table.csv") ?? false)
    }
  }

  @Test func refusesInvalidUTF8() {
    let bytes: [UInt8] = Array("prompt,steps,q\nx".utf8) + [0xFF] + Array(",1,1\n".utf8)
    bytes.withUnsafeBytes { raw in
      #expect { try RewardTable(bytes: raw, file: "table.csv") } throws: {
        (($0 as? Failure)?.description.contains("line 2: invalid UTF-8")) ?? false
      }
    }
  }
}
