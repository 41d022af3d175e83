import Support

@testable import Training

enum Tables {
  static func table(_ text: String) throws(Failure) -> RewardTable {
    let bytes = Array(text.utf8)
    let result: Result<RewardTable, Failure> = bytes.withUnsafeBytes { raw in
      do throws(Failure) { return .success(try RewardTable(bytes: raw, file: "table.csv")) } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }
}
