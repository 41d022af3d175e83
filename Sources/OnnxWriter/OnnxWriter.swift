/// ONNX messages, good ones and (for tests) bad ones. Field numbers are those of onnx.proto.
public enum Onnx {
  public static let float32 = 1
  public static let int64 = 7
  public static let bool = 9

  public static func model(
    _ graph: Proto?, opset: Int? = 17, irVersion: Int? = 8, functions: [Proto] = [], domains: [(String, Int)] = [],
    producer: String? = nil
  ) -> [UInt8] {
    Proto { message in
      if let irVersion { message.int(1, irVersion) }
      if let producer { message.string(2, producer) }
      if let graph { message.message(7, graph) }
      for (domain, version) in (opset.map { [("", $0)] } ?? []) + domains {
        message.message(8, opsetImport(domain, version))
      }
      for function in functions { message.message(25, function) }
    }.bytes
  }

  static func opsetImport(_ domain: String, _ version: Int) -> Proto {
    Proto {
      $0.string(1, domain)
      $0.int(2, version)
    }
  }

  public static func graph(
    _ nodes: [Proto], inputs: [Proto] = [], outputs: [Proto] = [], initializers: [Proto] = [], name: String = "g"
  ) -> Proto {
    Proto { message in
      for node in nodes { message.message(1, node) }
      message.string(2, name)
      for tensor in initializers { message.message(5, tensor) }
      for input in inputs { message.message(11, input) }
      for output in outputs { message.message(12, output) }
    }
  }

  public static func node(
    _ type: String, _ inputs: [String], _ outputs: [String], name: String? = nil, domain: String = "",
    attributes: [Proto] = []
  ) -> Proto {
    Proto { message in
      for input in inputs { message.string(1, input) }
      for output in outputs { message.string(2, output) }
      message.string(3, name ?? "\(type)_node")
      message.string(4, type)
      for attribute in attributes { message.message(5, attribute) }
      if !domain.isEmpty { message.string(7, domain) }
    }
  }

  /// A tensor value; dimensions are numbers, names, or nil. `shape` nil: rank unknown.
  public static func value(_ name: String, _ type: Int = float32, _ shape: [Any?]? = nil) -> Proto {
    Proto { message in
      message.string(1, name)
      message.message(
        2,
        Proto {
          $0.message(
            1,
            Proto { tensor in
              tensor.int(1, type)
              guard let shape else { return }
              tensor.message(
                2,
                Proto { dimensions in
                  for dimension in shape {
                    dimensions.message(
                      1,
                      Proto {
                        if let size = dimension as? Int { $0.int(1, size) }
                        if let name = dimension as? String { $0.string(2, name) }
                      })
                  }
                })
            })
        })
    }
  }

  public static func tensor(
    _ name: String, _ type: Int = float32, _ shape: [Int], raw: [UInt8]? = nil, floats: [Float] = [], ints: [Int] = [],
    external: [(String, String)] = []
  ) -> Proto {
    Proto { message in
      for size in shape { message.int(1, size) }
      message.int(2, type)
      for value in floats { message.float(4, value) }
      for value in ints { message.int(type == int64 ? 7 : 5, value) }
      message.string(8, name)
      if let raw { message.data(9, raw) }
      for (key, value) in external {
        message.message(
          13,
          Proto {
            $0.string(1, key)
            $0.string(2, value)
          })
      }
      if !external.isEmpty { message.int(14, 1) }
    }
  }

  public static func attribute(_ name: String, int value: Int) -> Proto { attribute(name, 2) { $0.int(3, value) } }
  public static func attribute(_ name: String, float value: Float) -> Proto {
    attribute(name, 1) { $0.float(2, value) }
  }
  public static func attribute(_ name: String, ints values: [Int]) -> Proto {
    attribute(name, 7) { for value in values { $0.int(8, value) } }
  }
  public static func attribute(_ name: String, string value: [UInt8]) -> Proto {
    attribute(name, 3) { $0.data(4, value) }
  }
  public static func attribute(_ name: String, tensor value: Proto) -> Proto {
    attribute(name, 4) { $0.message(5, value) }
  }
  public static func attribute(_ name: String, graph value: Proto) -> Proto {
    attribute(name, 5) { $0.message(6, value) }
  }
  /// Stands for the attribute `reference` of the enclosing function.
  public static func attribute(_ name: String, reference: String, kind: Int) -> Proto {
    attribute(name, kind) { $0.string(21, reference) }
  }

  private static func attribute(_ name: String, _ kind: Int, _ write: (inout Proto) -> Void) -> Proto {
    var message = Proto()
    message.string(1, name)
    write(&message)
    message.int(20, kind)
    return message
  }

  public static func function(
    _ name: String, domain: String = "test", inputs: [String], outputs: [String], attributes: [String] = [],
    defaults: [Proto] = [], nodes: [Proto], opset: Int = 17, domains: [(String, Int)] = []
  ) -> Proto {
    Proto { message in
      message.string(1, name)
      for input in inputs { message.string(4, input) }
      for output in outputs { message.string(5, output) }
      for attribute in attributes { message.string(6, attribute) }
      for node in nodes { message.message(7, node) }
      for (domain, version) in [("", opset)] + domains { message.message(9, opsetImport(domain, version)) }
      message.string(10, domain)
      for attribute in defaults { message.message(11, attribute) }
    }
  }

  /// Little-endian bytes of floats.
  public static func bytes(_ values: [Float]) -> [UInt8] {
    values.map(\.bitPattern.littleEndian).withUnsafeBytes { Array($0) }
  }
}
