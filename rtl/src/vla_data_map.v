// Where a line of the data space lies in memory: pages of 4 KB lie on the data channels in turn, each channel has
// a base of its own.
// Does: page p is page p / channels behind the base of channel p mod channels. Does not: look at the low 12 bits
// of a base, or at how long a burst is (none crosses a page).
// Latency: combinational, one base chosen and one addition.
`default_nettype none
`include "vla_isa.vh"
module vla_data_map (
  input  wire [64*`VLA_DATA_CHANNELS-1:0] bases_i,
  input  wire [31:0]                      line_i,  // of 64 bytes
  output wire [63:0]                      addr_o   // byte address
);

  localparam ChannelLog = $clog2(`VLA_DATA_CHANNELS);
  localparam PageLog    = 6;  // lines of a page

  wire [ChannelLog-1:0] channel = line_i[PageLog +: ChannelLog];
  wire [63:0]           base    = bases_i[{channel, 6'd0} +: 64];
  wire [51:0]           page    = {{(20 + PageLog + ChannelLog){1'b0}}, line_i[31:PageLog+ChannelLog]};

  assign addr_o = {base[63:12] + page, line_i[PageLog-1:0], 6'd0};

  wire unused_low = ^base[11:0];

endmodule
`default_nettype wire
