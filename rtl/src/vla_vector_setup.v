// Hold the vector engine's packets: the running one as decoded constants, the next one in a shadow.
// Does: take a packet while the shadow is free, start none while hold_i is high; work out there where row 0 of each region lies (slot *
// row_stride); decode it when the running one has finished.
// Does not: check packets (`vla_packet_check` did), touch a memory.
// Latency: a packet taken while idle starts 5 cycles later, one that waits in the shadow 1 cycle after its
// predecessor's finish. start_o is high for the packet's first cycle, done_o for the last.
`include "vla_isa.vh"
`default_nettype none
module vla_vector_setup #(
  parameter Aw      = 17, // address bits of the activation scratchpad
  parameter ParamAw = 11, // address bits of the parameter memory
  parameter Block   = 16  // channels of a word
) (
  input  wire               clk_i,
  input  wire               rst_i,
  // packets
  input  wire               packet_valid_i,
  output wire               packet_ready_o,
  input  wire [511:0]       packet_i,
  input  wire               hold_i,        // start nothing
  output wire               done_o,
  output wire               active_o,
  // the running packet
  output reg                start_o,
  output reg                busy_o,
  input  wire               finish_i,      // its last word is written
  output reg                pool_o,        // POOL, else VEC
  output reg                max_o,         // POOL's maximum
  // regions: a is POOL's input
  output reg  [Aw-1:0]      a_base_o, a_off_o, a_row_stride_o, a_pitch_o,
  output reg  [10:0]        a_ring_o, a_slot_o,
  output reg  [Aw-1:0]      b_base_o, b_off_o, b_row_stride_o, b_pitch_o,
  output reg  [10:0]        b_ring_o, b_slot_o,
  output reg                b_read_o,      // b is in memory
  output reg                b_x_step_o,
  output reg                b_column_o,
  output reg                b_scalar_o,
  output reg  [7:0]         b_scalar_value_o,
  output reg  [Aw-1:0]      out_base_o, out_off_o, out_row_stride_o, out_pitch_o,
  output reg  [10:0]        out_ring_o, out_slot_o,
  output reg  [10:0]        out_h_o,
  output reg  [13:0]        out_w_o,
  output reg  [9:0]         out_blocks_o,
  output reg  signed [15:0] padding_o,     // channels of all blocks less real channels
  // windows
  output reg  [10:0]        in_h_o,
  output reg  [13:0]        in_w_o,
  output reg  [10:0]        kernel_h_o, kernel_w_o,
  output reg  [3:0]         stride_h_o, stride_w_o,
  output reg  [7:0]         pad_top_o, pad_left_o,
  output reg                count_valid_o,
  output reg  [ParamAw-1:0] record_base_o,
  // arithmetic, set so that POOL's maximum passes unchanged
  output reg  [3:0]         function_o,
  output reg  [7:0]         a_zero_o, b_zero_o,
  output reg  [23:0]        a_mult_o, b_mult_o,
  output reg  [5:0]         shift_o,
  output reg  [1:0]         rounding_o,
  output reg  [7:0]         zero_o, lo_o, hi_o,
  output reg  [7:0]         fill_o,        // what channels past the real ones are written as
  output reg                table_enable_o,
  output reg  [ParamAw-1:0] table_base_o
);

  // What the shadow does: each state but the first and last computes one product.
  localparam [2:0] Free  = 3'd0;  // no packet
  localparam [2:0] OffA  = 3'd1;
  localparam [2:0] OffOut = 3'd2;
  localparam [2:0] OffB  = 3'd3;
  localparam [2:0] Ready = 3'd4;  // waits for the running packet to finish

  reg [2:0]    state_q;
  reg [511:0]  shadow_q;
  reg [Aw-1:0] off_a_q, off_out_q, off_b_q;

  // Semaphores are the queue's; above the table base lies nothing that a legal packet sets.
  wire fields_unused = ^{shadow_q[`VLA_PACKET_WAIT], shadow_q[`VLA_PACKET_SIGNAL],
                         shadow_q[511:`VLA_VEC_TABLE_BASE_LSB+`VLA_VEC_TABLE_BASE_WIDTH]};

  wire pool       = shadow_q[`VLA_PACKET_OPCODE] == `VLA_OP_POOL;
  // A row is one pixel per block: no steps in it, and it starts where its slot lies. A column is one block.
  wire b_row      = shadow_q[`VLA_VEC_B_KIND] == `VLA_VEC_B_KIND_ROW;
  wire b_column   = shadow_q[`VLA_VEC_B_KIND] == `VLA_VEC_B_KIND_COLUMN;
  wire accept     = packet_valid_i && packet_ready_o;
  wire finish     = busy_o && !start_o && finish_i;
  wire promote    = state_q == Ready && !hold_i && (!busy_o || finish);
  assign packet_ready_o = state_q == Free;
  assign done_o         = finish;
  assign active_o       = busy_o || state_q != Free;

  // Addresses wrap at the end of their memory: bits above its address width are unused.
  function [Aw-1:0] product;
    input [10:0] slot;
    input [19:0] row_stride;
    reg [30:0] wide_unused;
    begin
      wide_unused = {20'd0, slot} * {11'd0, row_stride};
      product     = wide_unused[Aw-1:0];
    end
  endfunction

  function [Aw-1:0] address;
    input [19:0] field_unused;
    address = field_unused[Aw-1:0];
  endfunction

  function [ParamAw-1:0] param_address;
    input [15:0] field_unused;
    param_address = field_unused[ParamAw-1:0];
  endfunction

  function [Aw-1:0] pitch;
    input [13:0] field;
    pitch = address({6'd0, field});
  endfunction

  always @(posedge clk_i) begin
    if (rst_i) begin
      state_q <= Free;
      busy_o  <= 1'b0;
      start_o <= 1'b0;
    end else begin
      case (state_q)
        Free:    if (accept) state_q <= OffA;
        OffA:    state_q <= OffOut;
        OffOut:  state_q <= OffB;
        OffB:    state_q <= Ready;
        default: if (promote) state_q <= Free;
      endcase
      start_o <= promote;
      if (promote) busy_o <= 1'b1;
      else if (finish) busy_o <= 1'b0;
    end
  end

  always @(posedge clk_i) begin
    if (accept) shadow_q <= packet_i;
    if (state_q == OffA)
      off_a_q <= pool ? {Aw{1'b0}}  // every window finds its own first row
                      : product(shadow_q[`VLA_VEC_A_SLOT], shadow_q[`VLA_VEC_A_ROW_STRIDE]);
    if (state_q == OffOut)
      off_out_q <= pool ? product(shadow_q[`VLA_POOL_OUT_SLOT], shadow_q[`VLA_POOL_OUT_ROW_STRIDE])
                        : product(shadow_q[`VLA_VEC_OUT_SLOT], shadow_q[`VLA_VEC_OUT_ROW_STRIDE]);
    if (state_q == OffB) off_b_q <= product(shadow_q[`VLA_VEC_B_SLOT], shadow_q[`VLA_VEC_B_ROW_STRIDE]);
  end

  // Constants that both instructions have, or that one of them fixes.
  always @(posedge clk_i) begin
    if (promote) begin
      pool_o     <= pool;
      max_o      <= pool && shadow_q[`VLA_POOL_MODE] == `VLA_POOL_MODE_MAX;
      a_off_o    <= off_a_q;
      out_off_o  <= off_out_q;
      if (pool) begin
        a_base_o         <= address(shadow_q[`VLA_POOL_IN_BASE]);
        a_row_stride_o   <= address(shadow_q[`VLA_POOL_IN_ROW_STRIDE]);
        a_pitch_o        <= pitch(shadow_q[`VLA_POOL_IN_PITCH]);
        a_ring_o         <= shadow_q[`VLA_POOL_IN_RING];
        a_slot_o         <= shadow_q[`VLA_POOL_IN_SLOT];
        out_base_o       <= address(shadow_q[`VLA_POOL_OUT_BASE]);
        out_row_stride_o <= address(shadow_q[`VLA_POOL_OUT_ROW_STRIDE]);
        out_pitch_o      <= pitch(shadow_q[`VLA_POOL_OUT_PITCH]);
        out_ring_o       <= shadow_q[`VLA_POOL_OUT_RING];
        out_slot_o       <= shadow_q[`VLA_POOL_OUT_SLOT];
        out_h_o          <= shadow_q[`VLA_POOL_OUT_H];
        out_w_o          <= shadow_q[`VLA_POOL_OUT_W];
        out_blocks_o     <= shadow_q[`VLA_POOL_IN_BLOCKS];
        padding_o        <= $signed({6'd0, shadow_q[`VLA_POOL_IN_BLOCKS]} * Block[15:0])
                            - $signed({2'd0, shadow_q[`VLA_POOL_CHANNELS]});
        a_zero_o         <= shadow_q[`VLA_POOL_IN_ZERO];
        rounding_o       <= shadow_q[`VLA_POOL_ROUNDING];
        fill_o           <= shadow_q[`VLA_POOL_OUT_ZERO];
        function_o       <= `VLA_VEC_FUNCTION_ADD;
        a_mult_o         <= 24'd1;  // of the maximum; an average brings its own
        b_mult_o         <= 24'd0;
        shift_o          <= 6'd0;
        table_enable_o   <= 1'b0;
        if (shadow_q[`VLA_POOL_MODE] == `VLA_POOL_MODE_MAX) begin
          zero_o <= 8'h00;
          lo_o   <= 8'h80;
          hi_o   <= 8'h7F;
        end else begin
          zero_o <= shadow_q[`VLA_POOL_OUT_ZERO];
          lo_o   <= shadow_q[`VLA_POOL_LO];
          hi_o   <= shadow_q[`VLA_POOL_HI];
        end
      end else begin
        a_base_o         <= address(shadow_q[`VLA_VEC_A_BASE]);
        a_row_stride_o   <= address(shadow_q[`VLA_VEC_A_ROW_STRIDE]);
        a_pitch_o        <= pitch(shadow_q[`VLA_VEC_A_PITCH]);
        a_ring_o         <= shadow_q[`VLA_VEC_A_RING];
        a_slot_o         <= shadow_q[`VLA_VEC_A_SLOT];
        out_base_o       <= address(shadow_q[`VLA_VEC_OUT_BASE]);
        out_row_stride_o <= address(shadow_q[`VLA_VEC_OUT_ROW_STRIDE]);
        out_pitch_o      <= pitch(shadow_q[`VLA_VEC_OUT_PITCH]);
        out_ring_o       <= shadow_q[`VLA_VEC_OUT_RING];
        out_slot_o       <= shadow_q[`VLA_VEC_OUT_SLOT];
        out_h_o          <= shadow_q[`VLA_VEC_OUT_H];
        out_w_o          <= shadow_q[`VLA_VEC_OUT_W];
        out_blocks_o     <= shadow_q[`VLA_VEC_OUT_BLOCKS];
        padding_o        <= 16'sd0;  // VEC writes every channel
        a_zero_o         <= shadow_q[`VLA_VEC_A_ZERO];
        rounding_o       <= shadow_q[`VLA_VEC_ROUNDING];
        fill_o           <= 8'h00;
        function_o       <= shadow_q[`VLA_VEC_FUNCTION];
        a_mult_o         <= shadow_q[`VLA_VEC_A_MULT];
        b_mult_o         <= shadow_q[`VLA_VEC_B_MULT];
        shift_o          <= shadow_q[`VLA_VEC_SHIFT];
        table_enable_o   <= shadow_q[`VLA_VEC_TABLE_ENABLE];
        zero_o           <= shadow_q[`VLA_VEC_OUT_ZERO];
        lo_o             <= shadow_q[`VLA_VEC_LO];
        hi_o             <= shadow_q[`VLA_VEC_HI];
      end
    end
  end

  // Constants of POOL's windows, and of VEC's operand b.
  always @(posedge clk_i) begin
    if (promote && pool) begin
      in_h_o        <= shadow_q[`VLA_POOL_IN_H];
      in_w_o        <= shadow_q[`VLA_POOL_IN_W];
      kernel_h_o    <= shadow_q[`VLA_POOL_KERNEL_H];
      kernel_w_o    <= shadow_q[`VLA_POOL_KERNEL_W];
      stride_h_o    <= shadow_q[`VLA_POOL_STRIDE_H];
      stride_w_o    <= shadow_q[`VLA_POOL_STRIDE_W];
      pad_top_o     <= shadow_q[`VLA_POOL_PAD_TOP];
      pad_left_o    <= shadow_q[`VLA_POOL_PAD_LEFT];
      count_valid_o <= shadow_q[`VLA_POOL_COUNT] == `VLA_POOL_COUNT_VALID;
      record_base_o <= param_address(shadow_q[`VLA_POOL_PARAM_BASE]);
    end
    if (promote && !pool) begin
      b_ring_o         <= shadow_q[`VLA_VEC_B_RING];
      b_slot_o         <= shadow_q[`VLA_VEC_B_SLOT];
      b_read_o         <= shadow_q[`VLA_VEC_B_KIND] != `VLA_VEC_B_KIND_SCALAR;
      b_scalar_o       <= shadow_q[`VLA_VEC_B_KIND] == `VLA_VEC_B_KIND_SCALAR;
      b_column_o       <= b_column;
      b_scalar_value_o <= shadow_q[`VLA_VEC_B_SCALAR];
      b_x_step_o       <= !b_row;
      b_row_stride_o   <= b_row ? {Aw{1'b0}} : address(shadow_q[`VLA_VEC_B_ROW_STRIDE]);
      b_pitch_o        <= b_column ? {Aw{1'b0}} : pitch(shadow_q[`VLA_VEC_B_PITCH]);
      b_base_o         <= address(shadow_q[`VLA_VEC_B_BASE]) + (b_row ? off_b_q : {Aw{1'b0}});
      b_off_o          <= b_row ? {Aw{1'b0}} : off_b_q;
      b_zero_o         <= shadow_q[`VLA_VEC_B_ZERO];
      table_base_o     <= param_address(shadow_q[`VLA_VEC_TABLE_BASE]);
    end
  end

endmodule
`default_nettype wire
