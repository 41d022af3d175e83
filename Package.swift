// swift-tools-version: 6.2
import PackageDescription

// Targets stand in the order data flows; each imports only targets above it.
// Kernel modules hold one source compiled once per instruction set (see docs/ARCHITECTURE.md).

let engine: [SwiftSetting] = [.swiftLanguageMode(.v6)]

let package = Package(
  name: "adadiff",
  products: [
    .library(name: "adadiff", type: .dynamic, targets: ["AdaDiff"]),
    .executable(name: "adadiff-cli", targets: ["adadiff-cli"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
  ],
  targets: [
    .systemLibrary(name: "CAdaDiff", path: "include"),
    .target(
      name: "COnnx",
      cxxSettings: [.define("ONNX_ML", to: "1"), .define("ONNX_NAMESPACE", to: "onnx")],
      linkerSettings: [.linkedLibrary("onnx"), .linkedLibrary("onnx_proto"), .linkedLibrary("protobuf")]),
    .target(name: "Support", swiftSettings: engine),
    .target(name: "Graph", dependencies: ["Support", "COnnx"], swiftSettings: engine),
    .target(name: "Operators", dependencies: ["Support", "Graph"], swiftSettings: engine),
    .target(name: "Runtime", dependencies: ["Support", "Graph", "Operators"], swiftSettings: engine),
    .target(name: "Tokenizers", dependencies: ["Support"], swiftSettings: engine),
    .target(name: "Schedulers", dependencies: ["Support"], swiftSettings: engine),
    .target(name: "Adaptive", dependencies: ["Support", "Runtime"], swiftSettings: engine),
    .target(
      name: "Pipelines",
      dependencies: ["Support", "Graph", "Runtime", "Tokenizers", "Schedulers", "Adaptive"], swiftSettings: engine),
    .target(name: "AdaDiff", dependencies: ["CAdaDiff", "Pipelines"], swiftSettings: engine),
    .executableTarget(
      name: "adadiff-cli",
      dependencies: ["Pipelines", .product(name: "ArgumentParser", package: "swift-argument-parser")],
      swiftSettings: engine),
    .executableTarget(name: "node-suite", dependencies: ["Graph", "Operators", "Runtime"], swiftSettings: engine),
    .testTarget(name: "SupportTests", dependencies: ["Support"]),
  ],
  cxxLanguageStandard: .cxx17
)
