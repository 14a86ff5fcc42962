// One pixel of ROW: Block lanes, and the pixel's constants brought to the stages that use them.
// Does not: fetch anything, or stall.
// Latency: 28 cycles; en_i as in vla_row_lane.
`default_nettype none
module vla_row_pixel #(
  parameter Block = 16
) (
  input  wire                clk_i,
  input  wire [27:0]         en_i,
  input  wire [511:0]        packet_i,
  // stage 0
  input  wire [63:0]         item_i,       // its low half, or bias, multiplier and shift of the record
  input  wire [16*Block-1:0] a_i,
  input  wire [16*Block-1:0] b_i,
  input  wire [16*Block-1:0] c_i,
  // stage 15: records of the channels
  input  wire [64*Block-1:0] record_i,
  // stage 27
  input  wire [8*Block-1:0]  dither_i,
  input  wire [Block-1:0]    live_i,
  // table
  output wire [7*Block-1:0]  table_row_o,
  input  wire [64*Block-1:0] table_row_i,
  output wire [16*Block-1:0] result_o
);

  wire [31:0] item6, bias7;
  wire [23:0] mult8;
  wire [5:0]  shift10;
  wire        unused_item = ^item_i[63:62];

  vla_delay #(.Width(32), .Cycles(6)) u_item (.clk_i(clk_i), .data_i(item_i[31:0]), .data_o(item6));
  vla_delay #(.Width(32), .Cycles(1)) u_bias (.clk_i(clk_i), .data_i(item6), .data_o(bias7));
  vla_delay #(.Width(24), .Cycles(8)) u_mult (.clk_i(clk_i), .data_i(item_i[55:32]), .data_o(mult8));
  vla_delay #(.Width(6), .Cycles(10)) u_shift (.clk_i(clk_i), .data_i(item_i[61:56]), .data_o(shift10));

  genvar l;
  generate
    for (l = 0; l < Block; l = l + 1) begin : g_lane
      vla_row_lane u_lane (
        .clk_i(clk_i), .en_i(en_i), .packet_i(packet_i),
        .a_i(a_i[16*l +: 16]), .b_i(b_i[16*l +: 16]), .c_i(c_i[16*l +: 16]),
        .item_i(item6), .bias_i(bias7), .mult_i(mult8), .shift_i(shift10),
        .record_i(record_i[64*l +: 64]), .dither_i(dither_i[8*l +: 8]), .live_i(live_i[l]),
        .table_row_o(table_row_o[7*l +: 7]), .table_row_i(table_row_i[64*l +: 64]),
        .result_o(result_o[16*l +: 16])
      );
    end
  endgenerate

endmodule
`default_nettype wire
