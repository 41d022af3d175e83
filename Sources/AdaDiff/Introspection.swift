import Adaptive
import CAdaDiff
import Operators
import Pipelines
import Support

/// The lists of `enum adadiff_list`, index = list.
private let lists: [StaticTexts] = [
  StaticTexts(NamedOptions.schedulerNames),
  StaticTexts(OperatorRegistry.standard.names.map { $0.hasPrefix(":") ? String($0.dropFirst()) : $0 }),
  StaticTexts(StepPolicyNames.all),
  StaticTexts(NamedOptions.table.map(\.name)),
  StaticTexts(Stage.allCases.map(\.name)),
  StaticTexts(StepAction.allCases.map(\.name)),
]

@c @implementation
public func adadiff_list_count(_ list: Int32) -> Int32 {
  lists.indices.contains(Int(list)) ? Int32(clamping: lists[Int(list)].count) : 0
}

@c @implementation
public func adadiff_list_name(_ list: Int32, _ index: Int32) -> UnsafePointer<CChar>? {
  lists.indices.contains(Int(list)) ? lists[Int(list)][index] : nil
}

/// Static texts of one option.
private struct OptionTexts: Sendable {
  let name: CText
  let defaultText: CText
  let choices: CText
  let documentation: CText

  init(_ option: OptionDescription) {
    name = CText(option.name)
    defaultText = CText(option.defaultText)
    choices = CText(option.choices.joined(separator: "|"))
    documentation = CText(option.documentation)
  }
}

private let optionTexts = NamedOptions.table.map(OptionTexts.init)

@c @implementation
public func adadiff_option_describe(
  _ name: UnsafePointer<CChar>?, _ info: UnsafeMutablePointer<adadiff_option_info>?, _ error: HandleSlot?
) -> adadiff_status {
  mapped(error) {
    let index = try NamedOptions.index(of: text(name, "name"))
    guard let info else { throw Failure(.invalidArgument, "argument 'info' is NULL") }
    try checkStructSize(
      info.pointee.struct_size, minimum: MemoryLayout<adadiff_option_info>.size, of: "adadiff_option_info")
    let option = NamedOptions.table[index]
    let texts = optionTexts[index]
    info.pointee.name = texts.name.pointer
    info.pointee.type = option.kind.rawValue
    info.pointee.scope = option.scope.rawValue
    info.pointee.minimum = option.range?.lowerBound ?? 0
    info.pointee.maximum = option.range?.upperBound ?? 0
    info.pointee.default_text = texts.defaultText.pointer
    info.pointee.choices = texts.choices.pointer
    info.pointee.documentation = texts.documentation.pointer
  }
}
