import Graph
import Kernels
import Support

/// What this build is and what it runs on.
public enum Build {
  public static let version = "0.1.0"
  public static let abiVersion = 1

  public static var information: JSON {
    .object([
      "version": JSON(version),
      "abi_version": JSON(abiVersion),
      "isa": JSON(Kernels.current.name.description),
      "precisions": .array(Precision.allCases.map { JSON($0.rawValue) }),
      // The precisions that take less time than float32 by instructions of their own; the others save memory.
      "dot_products": .array(Kernels.current.narrow.dotProducts.map { JSON("\($0)") }),
      "threads": JSON(ProcessorCount.available),
      "swift": JSON(swiftVersion),
      "dependencies": .object(["onnx": "libonnx", "protobuf": "libprotobuf", "blas": "libopenblas"]),
    ])
  }

  private static var swiftVersion: String {
    #if compiler(>=6.4)
      "6.4 or newer"
    #elseif compiler(>=6.3)
      "6.3"
    #else
      "6.2 or older"
    #endif
  }
}
