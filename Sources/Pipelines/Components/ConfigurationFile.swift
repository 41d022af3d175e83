import Support

/// A component's `config.json` read with names in every error.
struct ConfigurationFile: Sendable {
  let json: JSON
  let component: String
  let file: String

  init(_ file: String, component: String) throws(Failure) {
    self.component = component
    self.file = file
    do {
      json = try JSON.parse(file: file)
    } catch {
      throw error.adding(component: component, file: file)
    }
    guard json.object != nil else {
      throw Failure(.corrupt, "the configuration must be a JSON object", component: component, file: file)
    }
  }

  /// Nil for absent keys and null.
  func integer(_ key: String, in range: ClosedRange<Int>) throws(Failure) -> Int? {
    guard let value = json[key], !value.isNull else { return nil }
    guard let integer = value.int else { throw wrong(key, expected: "an integer", value) }
    guard range.contains(integer) else {
      throw Failure(
        .outOfRange, "'\(key)' is out of range", component: component, file: file,
        expected: "\(range.lowerBound)…\(range.upperBound)", actual: "\(integer)")
    }
    return integer
  }

  func number(_ key: String) throws(Failure) -> Double? {
    guard let value = json[key], !value.isNull else { return nil }
    guard let number = value.double, number.isFinite else { throw wrong(key, expected: "a finite number", value) }
    return number
  }

  func flag(_ key: String) throws(Failure) -> Bool? {
    guard let value = json[key], !value.isNull else { return nil }
    guard let flag = value.bool else { throw wrong(key, expected: "true or false", value) }
    return flag
  }

  func text(_ key: String) throws(Failure) -> String? {
    guard let value = json[key], !value.isNull else { return nil }
    guard let text = value.string else { throw wrong(key, expected: "a string", value) }
    return text
  }

  func wrong(_ key: String, expected: String, _ value: JSON) -> Failure {
    Failure(
      .corrupt, "'\(key)' has another type", component: component, file: file, expected: expected,
      actual: String(value.text.prefix(80)))
  }
}
