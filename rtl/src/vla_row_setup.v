// Hold the packets of ROW, REDUCE and RECIP: the running one as decoded constants, the next one in a shadow.
// Does: take a packet while the shadow is free; decode it when the running one has finished and hold_i is low: shape,
// operands a, b, c and output, and in which slot each byte plane is read. A slot is what two read lanes bring: a plane
// of both pixels, or both planes of the one pixel of an operand of kind row. Two slots are read per cycle.
// REDUCE has operand a only; RECIP has items only, one pixel each, in one row.
// Does not: check packets, decode what arithmetic needs (packet_o has it).
// Latency: a packet taken while idle starts 2 cycles later, one that waits in the shadow 1 cycle after its predecessor's
// finish. start_o is high for the packet's first cycle, done_o for the last.
`include "vla_isa.vh"
`default_nettype none
module vla_row_setup #(
  parameter Aw = 17  // address bits of the activation scratchpad
) (
  input  wire             clk_i,
  input  wire             rst_i,
  // packets
  input  wire             packet_valid_i,
  output wire             packet_ready_o,
  input  wire [511:0]     packet_i,
  input  wire             hold_i,         // start nothing
  output wire             done_o,
  output wire             active_o,
  // the running packet
  output reg              start_o,
  output reg              busy_o,
  input  wire             finish_i,
  output reg  [511:0]     packet_o,
  output reg              row_o,
  output reg              reduce_o,
  output reg              recip_o,
  output reg  [10:0]      h_o,
  output reg  [15:0]      m_o,
  output reg  [9:0]       blocks_o,
  output reg              topk_o,         // REDUCE topk_mask
  output reg  [3:0]       passes_o,       // over the blocks of a pair
  output reg  [13:0]      channels_o,
  // operands a, b, c and the output, from low bits up
  output reg  [4*Aw-1:0]  base_o,
  output reg  [4*Aw-1:0]  high_o,         // base + pitch
  output reg  [4*Aw-1:0]  row_stride_o,
  output reg  [4*Aw-1:0]  block_step_o,
  output reg  [3:0]       wide_o,         // int16
  output reg  [2:0]       present_o,      // a, b, c are read
  output reg  [2:0]       still_o,        // kind row
  // slots: operand in bits 2:1 (3: none), plane in bit 0
  output reg  [17:0]      slot_o,
  output reg  [1:0]       beat_last_o,    // a step's last pair of slots
  // items
  output reg              items_in_o,     // each pair's items are read before its blocks
  output reg  [Aw-1:0]    items_in_base_o,
  output reg              words_out_o,    // each step writes words
  output reg              items_out_o,    // each pair writes items
  output reg  [Aw-1:0]    items_out_base_o
);

  localparam [2:0] None = 3'b110;

  reg         full_q;  // the shadow holds a packet
  reg [511:0] shadow_q;

  wire row    = shadow_q[`VLA_PACKET_OPCODE] == `VLA_OP_ROW;
  wire reduce = shadow_q[`VLA_PACKET_OPCODE] == `VLA_OP_REDUCE;
  wire recip  = shadow_q[`VLA_PACKET_OPCODE] == `VLA_OP_RECIP;
  wire finish  = busy_o && !start_o && finish_i;
  wire promote = full_q && !hold_i && (!busy_o || finish);

  assign packet_ready_o = !full_q;
  assign done_o         = finish;
  assign active_o       = busy_o || full_q;

  wire unused_fields = ^{shadow_q[`VLA_PACKET_WAIT], shadow_q[`VLA_PACKET_SIGNAL]};

  // Addresses wrap at the end of their memory: bits above its address width are unused.
  function [Aw-1:0] address;
    input [19:0] field_unused;
    address = field_unused[Aw-1:0];
  endfunction

  always @(posedge clk_i) begin
    if (rst_i) begin
      full_q  <= 1'b0;
      busy_o  <= 1'b0;
      start_o <= 1'b0;
    end else begin
      if (packet_valid_i && packet_ready_o) full_q <= 1'b1;
      else if (promote) full_q <= 1'b0;
      start_o <= promote;
      if (promote) busy_o <= 1'b1;
      else if (finish) busy_o <= 1'b0;
    end
  end

  // ---- the shadow's operands ----
  wire [2:0] wide  = {shadow_q[`VLA_ROW_C_BYTES], shadow_q[`VLA_ROW_B_BYTES], shadow_q[`VLA_ROW_A_BYTES]};
  wire       b     = row && shadow_q[`VLA_ROW_B_KIND] != `VLA_ROW_B_KIND_NONE;
  wire       c     = row && shadow_q[`VLA_ROW_C_KIND] != `VLA_ROW_C_KIND_NONE;
  wire       b_row = shadow_q[`VLA_ROW_B_KIND] == `VLA_ROW_B_KIND_ROW;
  wire       c_row = shadow_q[`VLA_ROW_C_KIND] == `VLA_ROW_C_KIND_ROW;

  wire       a_wide  = row ? wide[0] : shadow_q[`VLA_REDUCE_IN_BYTES];
  wire       b_twice = wide[1] && !b_row;  // two slots
  wire       c_twice = wide[2] && !c_row;
  wire [2:0] b_first = a_wide ? 3'd2 : 3'd1;
  wire [2:0] c_first = b_first + {1'b0, b && b_twice, b && !b_twice};
  wire [2:0] slots   = c_first + {1'b0, c && c_twice, c && !c_twice};

  function [2:0] slot;
    input [2:0] number;
    input [2:0] b_at;
    input [2:0] c_at;
    input [2:0] all;
    reg [2:0] from_b_unused, from_c_unused;
    begin
      from_b_unused = number - b_at;
      from_c_unused = number - c_at;
      if (number < b_at) slot = {2'd0, number[0]};
      else if (number < c_at) slot = {2'd1, from_b_unused[0]};
      else if (number < all) slot = {2'd2, from_c_unused[0]};
      else slot = None;
    end
  endfunction

  wire [19:0] a_base   = row ? shadow_q[`VLA_ROW_A_BASE] : shadow_q[`VLA_REDUCE_IN_BASE];
  wire [19:0] a_stride = row ? shadow_q[`VLA_ROW_A_ROW_STRIDE] : shadow_q[`VLA_REDUCE_IN_ROW_STRIDE];
  wire [13:0] a_pitch  = row ? shadow_q[`VLA_ROW_A_PITCH] : shadow_q[`VLA_REDUCE_IN_PITCH];
  wire [79:0] bases    = {row ? shadow_q[`VLA_ROW_OUT_BASE] : shadow_q[`VLA_REDUCE_OUT_BASE],
                          shadow_q[`VLA_ROW_C_BASE], shadow_q[`VLA_ROW_B_BASE], a_base};
  wire [79:0] strides  = {row ? shadow_q[`VLA_ROW_OUT_ROW_STRIDE] : shadow_q[`VLA_REDUCE_OUT_ROW_STRIDE],
                          shadow_q[`VLA_ROW_C_ROW_STRIDE], shadow_q[`VLA_ROW_B_ROW_STRIDE], a_stride};
  wire [55:0] pitches  = {row ? shadow_q[`VLA_ROW_OUT_PITCH] : shadow_q[`VLA_REDUCE_OUT_PITCH],
                          shadow_q[`VLA_ROW_C_PITCH], shadow_q[`VLA_ROW_B_PITCH], a_pitch};
  wire [3:0]  wides    = {row && shadow_q[`VLA_ROW_OUT_BYTES], wide[2:1], a_wide};
  wire        topk     = shadow_q[`VLA_REDUCE_FUNCTION] == `VLA_REDUCE_FUNCTION_TOPK_MASK;

  always @(posedge clk_i) begin
    if (packet_valid_i && packet_ready_o) shadow_q <= packet_i;
    if (promote) begin
      packet_o    <= shadow_q;
      row_o       <= row;
      reduce_o    <= reduce;
      topk_o      <= reduce && topk;
      passes_o    <= !(reduce && topk) ? 4'd1 : a_wide ? 4'd9 : 4'd5;
      recip_o     <= recip;
      wide_o      <= wides;
      present_o   <= {c, b, !recip};
      still_o     <= {c_row, b_row, 1'b0};
      slot_o      <= {slot(3'd5, b_first, c_first, slots), slot(3'd4, b_first, c_first, slots),
                      slot(3'd3, b_first, c_first, slots), slot(3'd2, b_first, c_first, slots),
                      slot(3'd1, b_first, c_first, slots), slot(3'd0, b_first, c_first, slots)};
      beat_last_o <= slots > 3'd4 ? 2'd2 : slots > 3'd2 ? 2'd1 : 2'd0;
      items_in_o  <= recip || (row && shadow_q[`VLA_ROW_ROW_MODE] != `VLA_ROW_ROW_MODE_NONE);
      words_out_o <= row || (reduce && topk);
      items_out_o <= recip || (reduce && !topk) || (row && shadow_q[`VLA_ROW_REDUCE] == `VLA_ROW_REDUCE_SUM);
      if (row) begin
        h_o              <= shadow_q[`VLA_ROW_H];
        m_o              <= {2'd0, shadow_q[`VLA_ROW_M]};
        blocks_o         <= shadow_q[`VLA_ROW_BLOCKS];
        channels_o       <= shadow_q[`VLA_ROW_CHANNELS];
        items_in_base_o  <= address(shadow_q[`VLA_ROW_ROW_BASE]);
        items_out_base_o <= address(shadow_q[`VLA_ROW_REDUCE_BASE]);
      end else if (reduce) begin
        h_o              <= shadow_q[`VLA_REDUCE_H];
        m_o              <= {2'd0, shadow_q[`VLA_REDUCE_M]};
        blocks_o         <= shadow_q[`VLA_REDUCE_BLOCKS];
        channels_o       <= shadow_q[`VLA_REDUCE_CHANNELS];
        items_in_base_o  <= {Aw{1'b0}};
        items_out_base_o <= address(shadow_q[`VLA_REDUCE_OUT_BASE]);
      end else begin
        h_o              <= 11'd1;
        m_o              <= shadow_q[`VLA_RECIP_N];
        blocks_o         <= 10'd1;
        channels_o       <= 14'd1;
        items_in_base_o  <= address(shadow_q[`VLA_RECIP_IN_BASE]);
        items_out_base_o <= address(shadow_q[`VLA_RECIP_OUT_BASE]);
      end
    end
  end

  genvar o;
  generate
    for (o = 0; o < 4; o = o + 1) begin : g_operand
      wire [Aw-1:0] pitch = address({6'd0, pitches[14*o +: 14]});
      always @(posedge clk_i) begin
        if (promote) begin
          base_o[Aw*o +: Aw]       <= address(bases[20*o +: 20]);
          high_o[Aw*o +: Aw]       <= address(bases[20*o +: 20]) + pitch;
          row_stride_o[Aw*o +: Aw] <= address(strides[20*o +: 20]);
          block_step_o[Aw*o +: Aw] <= wides[o] ? {pitch[Aw-2:0], 1'b0} : pitch;
        end
      end
    end
  endgenerate

endmodule
`default_nettype wire
